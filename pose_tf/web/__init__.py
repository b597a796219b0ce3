"""A static page that estimates poses in the browser, in photos and in the camera's picture."""
