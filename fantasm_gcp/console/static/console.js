// Refreshes what is data-live while looked at; Start leads to its instance.
const live = document.getElementById("live"), page = document.body.dataset;
const [state, button] = live.children;
let timer, paused, busy;
const key = (node) => node.id || node.nodeName;

// Changes a tree into another in place: focus, selection and open details outlive a refresh.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (!old.attributes) return void (old.nodeValue = fresh.nodeValue);
  for (const { name } of [...old.attributes])
    if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) old.setAttribute(name, value);
  const kept = new Set([...fresh.childNodes].map(key));
  for (const child of [...old.childNodes]) if (!kept.has(key(child))) child.remove();
  let at = old.firstChild;
  for (const child of fresh.childNodes) {
    let same = at;
    while (same && key(same) !== key(child)) same = same.nextSibling;
    if (same && same === at) at = at.nextSibling;
    else old.insertBefore(same || document.importNode(child, true), at);
    if (same) morph(same, child);
  }
  while (at) [at] = [at.nextSibling, at.remove()];
}

function schedule(wait) {
  clearTimeout(timer);
  if (!document.hidden && !paused && !busy) timer = setTimeout(refresh, wait);
}

async function refresh() {
  const began = performance.now();
  busy = true;
  try {
    // Where a session is over, what guards the page answers so, or leads to where one signs in.
    const answer = await fetch(location.href, { signal: AbortSignal.timeout(30000), redirect: "manual" });
    if (!answer.ok) throw answer;
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const region of document.querySelectorAll("[data-live]")) {
      const found = fresh.getElementById(region.id);
      if (found && !paused) morph(region, found);
    }
    page.refresh = fresh.body.dataset.refresh;
    say("Live");
  } catch (answer) {
    const over = [0, 401, 403].includes(answer.status);
    say(over ? "Session over: reload" : "No answer");
    if (over) page.refresh = 30000;
  }
  busy = false;
  // What takes long is asked for less often.
  schedule(Math.max(page.refresh, 5 * (performance.now() - began)));
}

function say(word) {
  state.textContent = live.dataset.is = paused ? "Stopped" : word;
  button.textContent = paused ? "Go on refreshing" : "Stop refresh";
}

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-start]")) return;
  event.preventDefault();
  const [press, said] = form.children;
  press.disabled = true;
  try {
    const headers = { "X-CSRF-Token": document.querySelector("[name=csrf-token]").content };
    const answer = await fetch(form.action, { method: "POST", headers });
    const { error, instance, console_url: there } = await answer.json();
    if (there) location.assign(there);
    else said.textContent = error || `Started ${instance}`;
  } catch {
    said.textContent = "No answer";
  }
  press.disabled = false;
});

button.addEventListener("click", () => {
  paused = !paused;
  say("Live");
  schedule(0);
});
document.addEventListener("visibilitychange", () => schedule(0));
say("Live");
paused = live.hidden = !+page.refresh;
schedule(page.refresh);
