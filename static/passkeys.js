/* Shows what needs a script only where scripts run, and says so when a passkey could not be used. */
"use strict";

document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll("[data-with-script]")) element.hidden = false;
});
document.addEventListener("allauth.error", (event) => {
  event.preventDefault();
  document.getElementById("passkey-problem").hidden = false;
});
