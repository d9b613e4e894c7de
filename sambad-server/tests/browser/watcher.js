// Runs before the page's own scripts, and sees what a test could not ask for afterwards: errors, violations of the policy, every
// row that was ever shown, with the instant, and long tasks.
(() => {
  const errors = [];
  const seqs = new Map();
  const twice = new Set();
  const tasks = [];
  addEventListener("error", (event) => errors.push(`error: ${event.message}`), true);
  addEventListener("unhandledrejection", (event) => errors.push(`rejection: ${event.reason}`));
  addEventListener("securitypolicyviolation", (event) => errors.push(`policy: ${event.violatedDirective} ${event.blockedURI}`), true);
  const longTasks = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) tasks.push([Math.round(entry.startTime), Math.round(entry.duration)]);
  });
  longTasks.observe({ type: "longtask", buffered: true });

  const look = () => {
    const now = Date.now();
    const present = new Set();
    for (const row of document.querySelectorAll("[data-testid=feed] [data-testid=feed-row]")) {
      const seq = Number(row.dataset.seq);
      if (present.has(seq)) twice.add(seq);
      present.add(seq);
      if (!seqs.has(seq)) seqs.set(seq, now);
    }
  };
  const rows = new MutationObserver((changes) => {
    // Rows come as new elements, or as old ones that get another seq.
    const concerns = (change) => change.type === "attributes" || change.addedNodes.length > 0;
    if (watcher.watches && changes.some(concerns)) look();
  });
  rows.observe(document, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-seq"] });

  const watcher = {
    errors,
    tasks,
    watches: true,
    shown: () => (look(), [[...seqs.keys()].sort((a, b) => a - b), [...twice]]),
    shownAt: (seq) => seqs.get(seq) ?? null,
  };
  window.watcher = watcher;
})();
