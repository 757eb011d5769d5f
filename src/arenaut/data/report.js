"use strict";
// Shows the <title> of the block under the pointer in a box of its own. Without this script browsers show it slowly.
(function () {
  const tip = document.getElementById("tip");
  for (const title of document.querySelectorAll("svg .block > title")) {
    title.parentNode.setAttribute("data-tip", title.textContent);
    title.remove();
  }
  function show(event) {
    const block = event.target.closest ? event.target.closest("[data-tip]") : null;
    tip.style.display = block ? "block" : "none";
    if (!block) return;
    tip.textContent = block.getAttribute("data-tip");
    const right = event.clientX + 16 + tip.offsetWidth > window.innerWidth;
    const below = event.clientY + 16 + tip.offsetHeight > window.innerHeight;
    tip.style.left = Math.max(4, right ? event.clientX - 12 - tip.offsetWidth : event.clientX + 16) + "px";
    tip.style.top = Math.max(4, below ? event.clientY - 12 - tip.offsetHeight : event.clientY + 16) + "px";
  }
  document.addEventListener("pointermove", show);
  document.addEventListener("pointerdown", show);
})();
