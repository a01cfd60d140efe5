/* Warns before an idle session ends. The server ends it whether or not this runs; asking it how long is left does not
   make it longer, only the button does. */
"use strict";

(() => {
  const { session, signin, warn, left } = document.body.dataset;
  const dialog = document.getElementById("idle");
  if (!session || !dialog) return;

  const CHECK_MS = 15000;
  let endsAt = Date.now() + Number(left) * 1000;
  let askedAt = 0;
  let asking = false;
  let leaving = false;

  const secondsLeft = () => Math.max(0, Math.round((endsAt - Date.now()) / 1000));

  function leave() {
    if (leaving) return;
    leaving = true;
    dialog.close();
    // Whatever is on the screen is not for the next person at this computer.
    location.replace(`${signin}?next=${encodeURIComponent(location.pathname + location.search)}`);
  }

  async function ask(options) {
    if (asking) return;
    asking = true;
    askedAt = Date.now();
    try {
      const answer = await fetch(session, { credentials: "same-origin", cache: "no-store", ...options });
      endsAt = Date.now() + (answer.ok ? (await answer.json()).left : 0) * 1000;
    } catch {
      // No connection: the clock we have goes on.
    }
    asking = false;
  }

  function show() {
    const seconds = secondsLeft();
    const minutes = Math.floor(seconds / 60);
    document.getElementById("idle-left").textContent = `${minutes}:${String(seconds % 60).padStart(2, "0")} minutes`;
    if (!dialog.open) dialog.showModal();
  }

  async function tick() {
    if (leaving) return;
    if (secondsLeft() > Number(warn)) {
      if (dialog.open) dialog.close();
      return;
    }
    // Another tab may have been in use meanwhile.
    if (secondsLeft() === 0 || Date.now() - askedAt > CHECK_MS) await ask();
    if (secondsLeft() === 0) leave();
    else if (secondsLeft() <= Number(warn)) show();
  }

  document.getElementById("idle-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    await ask({ method: "POST", body: new FormData(event.target) });
    const extended = secondsLeft() > Number(warn);
    document.getElementById("idle-more").hidden = !extended;
    document.getElementById("idle-last").hidden = extended;
    if (extended) dialog.close();
  });
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  setInterval(tick, 1000);
})();
