/** Puts the page together: what comes in goes to the views, and the views are drawn once a frame. */

import { watchClock, watchRights } from "./api.js";
import { AuditPage } from "./audit.js";
import { Badge } from "./badge.js";
import { Chart, DailyTable } from "./chart.js";
import { Clock } from "./clock.js";
import { byId, everyFrame, setText } from "./dom.js";
import { Feed } from "./feed.js";
import { drawFigures } from "./figures.js";
import { FilterBar } from "./filterbar.js";
import { isEverything } from "./filter.js";
import { latency as latencyWords, plural } from "./format.js";
import { listenToKeys } from "./keys.js";
import { Latencies } from "./latency.js";
import { Login } from "./login.js";
import { parties } from "./phone.js";
import { Rate } from "./rate.js";
import { createRefresher } from "./refresh.js";
import { Sessions } from "./sessions.js";
import { drawRate } from "./sparkline.js";
import { openStore } from "./store.js";
import { UserPage } from "./user.js";
import { Users } from "./users.js";

/** Between two drawings while more events come than a frame can show. */
const BUSY_REST_MS = 100;

const clock = new Clock();
watchClock((sample) => clock.add(sample));
const serverTime = () => clock.serverTime(Date.now());

const latencies = new Latencies();
const rate = new Rate(Date.now());
/** When this page's session began, in the server's time. */
let sessionSince = 0;

const draw = everyFrame(() => {
  if (auditOpen) {
    drawTitle();
  } else if (!userPageOpen) {
    if (store.view) {
      const { figures } = store.view.model;
      drawFigures(figures);
      for (const chart of charts) chart.draw(figures.daily);
      table.draw(figures.daily);
      feed.draw();
      // Two that take long are better not in one task.
      if (feed.busy) setTimeout(() => users.draw(figures.totalUsers));
      else users.draw(figures.totalUsers);
    }
    drawPause();
  } else {
    userPage.draw();
    drawTitle();
  }
  // More than anybody can read: the browser had better have time for the reader.
  return (userPageOpen ? userPage.feed : feed).busy ? BUSY_REST_MS : 0;
});

const login = new Login({
  shown: () => Boolean(store.view || userPage.phone || auditPage.shown),
  onIn() {
    store.reconnect();
    route();
  },
  onFailure: drawFailure,
});
watchRights(() => login.ask());

const feed = new Feed({
  list: byId("feed"),
  pill: byId("feed-pill"),
  foot: byId("feed-foot"),
  older: byId("feed-older"),
  empty: byId("feed-empty"),
  onEmpty: drawEmpty,
  onChange: draw,
});
const charts = ["users", "contacts", "messages"].map((series) => new Chart(byId(`chart-${series}`), series));
const table = new DailyTable();
byId("daily-table").addEventListener("toggle", draw);

const filterBar = new FilterBar({ onChange: (passes) => feed.setFilter(passes) });
const users = new Users({ onChange: draw, now: serverTime });
const badge = new Badge({ onReconnect: () => store.reconnect(), onChange: drawTitle });
const userPage = new UserPage({
  onChange: draw,
  now: serverTime,
  latencyOf,
  viewOf: () => store.view,
});
const auditPage = new AuditPage({ now: serverTime });
let userPageOpen = false;
let auditOpen = false;

/** Milliseconds from the commit to this page, or null if the event was not sent as it happened. */
function latencyOf({ timestamp }, { live, receivedAt }) {
  return live ? Math.max(0, clock.serverTime(receivedAt) - Date.parse(timestamp)) : null;
}

const store = openStore({
  latencyOf,
  onEvent(entry) {
    feed.push(entry);
    users.push(entry);
    offerCountries(entry);
    if (entry.latency !== null) {
      latencies.add(entry.latency);
      rate.add(Date.now());
    }
    refresher.poke();
    draw();
  },
  onView(view) {
    feed.renew(view.recent, view.epoch);
    for (const entry of view.recent.newest(() => true, Infinity)) offerCountries(entry);
    byId("feed-panel").removeAttribute("data-loading");
    users.reset();
    refresher.poke();
    draw();
  },
  onFigures: draw,
  onState(state) {
    if (state.name === "live" || state.name === "replaying") {
      if (!sessionSince) sessionSince = serverTime();
    } else sessionSince = 0;
    badge.set(state);
  },
  onResync: (reason) => badge.resynced(reason),
  onFailure: (failure) => drawFailure(failure && `${failure.text} The page retries automatically.`),
});

const refresher = createRefresher({ ask: () => store.refresh(), serverTime });
new Sessions({
  now: serverTime,
  own: () => (badge.live && sessionSince ? { since: sessionSince, transport: badge.state.transport } : null),
});

function offerCountries(entry) {
  const { who, whom } = parties(entry);
  filterBar.offer(who);
  filterBar.offer(whom);
}

function drawFailure(words) {
  byId("failure").hidden = words === null;
  setText(byId("failure-text"), words ?? "");
}

function drawEmpty(element, kept) {
  const filtered = !isEverything(filterBar.filter);
  const [first, second] = filtered
    ? ["No event matches the filter.", `None of the last ${plural(kept, "event")} matches. New events that match appear here.`]
    : ["There are no events yet.", "To generate demo traffic, run"];
  const lines = [first, second].map((text) => {
    const line = document.createElement("p");
    line.textContent = text;
    return line;
  });
  if (!filtered) {
    const command = document.createElement("code");
    command.textContent = "sambad-cli demo";
    lines.push(command);
  }
  element.replaceChildren(...lines);
}

function setPaused(paused) {
  feed.setPaused(paused);
  if (!paused) feed.showNew();
}

function drawPause() {
  const { paused } = feed;
  byId("pause").setAttribute("aria-pressed", String(paused));
  byId("paused-note").hidden = !paused;
  drawTitle();
}

function drawTitle() {
  if (login.locked) return;
  const state = byId("badge-text").textContent;
  const paused = feed.paused ? "Paused · " : "";
  const what = userPageOpen ? userPage.phone : auditOpen ? "Audit log" : "";
  const whom = what ? `${what} · ` : "";
  const title = `${whom}${paused}${state.replace(/ in \d+ s$/, "")} · Sambad`;
  if (document.title !== title) document.title = title;
}

function everySecond() {
  rate.tick(Date.now(), badge.live);
  if (document.hidden) return;
  drawRate(rate);
  const { median } = latencies;
  const { estimate } = clock;
  byId("latency").dataset.value = median === null ? "" : median.toFixed(1);
  setText(byId("latency-value"), median === null ? "–" : latencyWords(median));
  const error = estimate ? Math.max(1, Math.round(estimate.error)) : null;
  setText(byId("latency-unit"), median === null ? "latency" : `median, ±${error} ms`);
  setText(
    byId("help-clock"),
    estimate
      ? `The server’s clock is ${Math.abs(estimate.ahead).toFixed(0)} ms ${estimate.ahead >= 0 ? "ahead of" : "behind"} this computer’s clock, ±${error} ms. The page corrects for this, so a latency is wrong by ${error} ms at most.`
      : "",
  );
  byId("latency").title = byId("help-clock").textContent;
}

/** The user that the address asks for, or null. */
function userAsked() {
  const asked = /^#\/users\/([^/?]+)$/.exec(location.hash)?.[1] ?? null;
  try {
    return asked && decodeURIComponent(asked);
  } catch {
    // Nobody's id: the server will say so.
    return asked;
  }
}

function route() {
  const asked = userAsked();
  const wasOpen = userPageOpen;
  userPageOpen = asked !== null;
  auditOpen = location.hash === "#/audit";
  byId("overview").hidden = userPageOpen || auditOpen;
  byId("user-view").hidden = !userPageOpen;
  byId("audit-view").hidden = !auditOpen;
  setText(byId("view-name"), userPageOpen ? "User" : auditOpen ? "Audit log" : "Overview");
  setText(byId("skip"), userPageOpen ? "Skip to the user" : auditOpen ? "Skip to the audit log" : "Skip to the activity feed");
  auditPage.close();
  if (auditOpen) {
    if (wasOpen) userPage.close();
    scrollTo(0, 0);
    auditPage.open();
    byId("main").focus({ preventScroll: true });
  } else if (userPageOpen) {
    scrollTo(0, 0);
    userPage.open(asked);
    byId("main").focus({ preventScroll: true });
  } else {
    if (wasOpen) userPage.close();
    filterBar.read(location.hash.split("?")[1] ?? "");
  }
  draw();
}

function searchUsers(id) {
  if (userPageOpen || auditOpen) {
    location.hash = "#/";
    // The browser tells of the new address only later, and what is hidden takes no focus.
    route();
  }
  byId(id).focus();
  byId(id).select();
}

addEventListener("hashchange", route);
byId("skip").addEventListener("click", (event) => {
  event.preventDefault();
  byId(userPageOpen || auditOpen ? "main" : "feed").focus();
});
byId("pause").addEventListener("click", () => setPaused(!feed.paused));
byId("failure-retry").addEventListener("click", () => store.reconnect());
byId("users-form").addEventListener("submit", (event) => event.preventDefault());
setText(byId("host"), location.host);
document.addEventListener("visibilitychange", () => !document.hidden && (everySecond(), draw()));
listenToKeys(() => !login.locked, {
  "/": () => searchUsers("users-search"),
  f: () => searchUsers("filter-user"),
  p: () => !userPageOpen && !auditOpen && setPaused(!feed.paused),
  c: () => !userPageOpen && !auditOpen && filterBar.clear(),
  t: () => (userPageOpen ? userPage.feed : feed).showNew(),
  r: () => store.reconnect(),
});
setInterval(everySecond, 1_000);
route();
everySecond();
