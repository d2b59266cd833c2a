// Refreshes what is data-live while it is looked at. Without it the pages work and stand still.
const live = document.getElementById("live"), [word, button] = live.children;
const every = Number(document.body.dataset.refresh);
let timer, stopped = false;
const key = (node) => node.id || node.nodeName;

// Makes one tree like another in place: focus, selection and what is unfolded outlive a refresh.
function follow(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) return void (old.nodeValue = fresh.nodeValue);
  for (const name of old.getAttributeNames())
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const name of fresh.getAttributeNames()) old.setAttribute(name, fresh.getAttribute(name));
  const wanted = new Set([...fresh.childNodes].map(key));
  for (const child of [...old.childNodes]) if (!wanted.has(key(child))) child.remove();
  let place = old.firstChild;
  for (const child of fresh.childNodes) {
    let match = place;
    while (match && key(match) !== key(child)) match = match.nextSibling;
    if (match === null) old.insertBefore(document.importNode(child, true), place);
    else {
      if (match === place) place = place.nextSibling;
      else old.insertBefore(match, place);
      follow(match, child);
    }
  }
  while (place) [place] = [place.nextSibling, place.remove()];
}

async function refresh() {
  const began = performance.now();
  try {
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(30000) });
    if (!answer.ok) throw answer;
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (fresh && !stopped) follow(part, fresh);
    }
    show("Live");
  } catch {
    show("No answer");
  }
  plan(Math.max(every, 5 * (performance.now() - began)));
}

function plan(wait) {
  clearTimeout(timer);
  if (!stopped && !document.hidden) timer = setTimeout(refresh, wait);
}

function show(state) {
  word.textContent = live.dataset.is = stopped ? "Stopped" : state;
  button.textContent = stopped ? "Go on refreshing" : "Stop refresh";
}

button.addEventListener("click", () => {
  stopped = !stopped;
  show("Live");
  plan(0);
});
document.addEventListener("visibilitychange", () => plan(0));
live.hidden = stopped = !every;
show("Live");
plan(every);
// A page that is loaded again does not say once more what was done.
if (location.search.includes("done=")) {
  const here = new URL(location.href);
  here.searchParams.delete("done");
  history.replaceState(null, "", here);
}
