// A separate script in old syntax, so that a browser that cannot parse the other one shows an error.
window.onerror = function (message) {
  var problem = document.getElementById("problem");
  problem.textContent = "This page failed: " + message;
  problem.hidden = false;
};
