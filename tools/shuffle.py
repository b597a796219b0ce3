"""`pose-tf shuffle`, in a checkout that is not installed."""

import _checkout

if __name__ == "__main__":
    _checkout.run("shuffle")
