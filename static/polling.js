/* What asks again by itself ([data-polls]) does so once a minute while nobody can see the page, and says on the page
   (#stale) when no answer came. */
"use strict";

(() => {
  const HIDDEN_MS = 60000;
  let askedAt = Date.now();

  const polls = (event) => event.target instanceof Element && event.target.matches("[data-polls]");

  function stale(yes) {
    const said = document.getElementById("stale");
    if (said) said.hidden = !yes;
  }

  document.addEventListener("htmx:beforeRequest", (event) => {
    if (!polls(event)) return;
    if (document.hidden && Date.now() - askedAt < HIDDEN_MS) event.preventDefault();
    else askedAt = Date.now();
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    // By now the element that asked may have been replaced, and the event comes from what is around it.
    if (event.detail.requestConfig.elt.matches("[data-polls]")) stale(!event.detail.successful);
  });
})();
