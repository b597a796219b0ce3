window.onunhandledrejection = function (event) {
  window.onerror(event.reason);
};
