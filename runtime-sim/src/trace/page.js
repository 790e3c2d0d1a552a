
const $ = id => document.getElementById(id), view = $('view'), inner = $('inner'), tip = $('tip');
const total = +inner.dataset.total, start = $('lanes').getBoundingClientRect().width;
let zoom = 1;
document.querySelectorAll('path > title').forEach(title => title.remove()); // The tip has more.
const time = us => us >= 1e6 ? +(us / 1e6).toFixed(6) + ' s'
  : us >= 1e3 ? +(us / 1e3).toFixed(3) + ' ms' : us ? us + ' µs' : '0';
const at = x => (x - inner.getBoundingClientRect().left) / inner.clientWidth * total;
const parsed = new Map();
function parts(path) { // What its parts stand for, and where they are.
  if (!parsed.has(path)) {
    const lines = (path.querySelector('desc')?.textContent ?? '').split('\n');
    const part = /M(\d+) (\d+)v(\d+)(?:h(\d+))?/g;
    parsed.set(path, [...path.getAttribute('d').matchAll(part)].map((it, n) => {
      const [begin, y, height, width] = it.slice(1).map(text => +(text ?? 0));
      return { begin, y, height, end: begin + width, line: lines[n] ?? '' };
    }));
  }
  return parsed.get(path);
}
function nearest(path, x, y) {
  const far = part => Math.max(part.begin - x, x - part.end, 0)
    + (y < part.y || y > part.y + part.height ? total : 0);
  return parts(path).reduce((best, part) => far(part) < far(best) ? part : best);
}
function ticks() {
  const px = inner.clientWidth / total, least = 90 / px;
  let step = 10 ** Math.floor(Math.log10(least));
  step = Math.max(1, [1, 2, 5, 10].map(n => n * step).find(it => it >= least));
  const from = Math.floor(view.scrollLeft / px / step);
  const to = from + view.clientWidth / px / step + 1;
  const made = [[], []];
  for (let n = from; n <= to && n * step < total; n++)
    made.forEach((list, axis) => {
      const tick = document.createElement('i');
      tick.style.left = n * step / total * 100 + '%';
      if (!axis) tick.textContent = time(n * step);
      list.push(tick);
    });
  $('ticks').replaceChildren(...made[0]);
  $('grid').replaceChildren(...made[1]);
}
function labels() { // Those that there is room for.
  for (const label of document.querySelectorAll('.name, .revisions')) {
    const wanted = label.matches('.name') ? 30 : label.textContent.length * 5.5 + 4;
    const room = parseFloat(label.getAttribute('width')) / 100 * inner.clientWidth;
    label.style.display = room < wanted ? 'none' : '';
  }
}
const middle = () => (view.clientWidth + $('names').offsetWidth) / 2; // Of what is seen.
function zoomTo(wanted, x) {
  const under = at(x ??= view.getBoundingClientRect().left + middle());
  zoom = Math.min(Math.max(wanted, 1), 8e6 / start);
  view.style.setProperty('--zoom', zoom);
  view.scrollLeft += under / total * inner.clientWidth + inner.getBoundingClientRect().left - x;
  ticks();
  labels();
}
function centre(us) {
  zoomTo(Math.max(zoom, total / 1e6)); // A second.
  view.scrollLeft = us / total * inner.clientWidth + $('names').offsetWidth - middle();
}
const [out, into, fit] = document.querySelectorAll('button');
out.onclick = () => zoomTo(zoom / 2);
into.onclick = () => zoomTo(zoom * 2);
fit.onclick = () => zoomTo(1);
document.querySelectorAll('.rule').forEach(rule => rule.onclick = () => centre(+rule.dataset.at));
view.addEventListener('wheel', event => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoomTo(zoom * 2 ** (-event.deltaY / 200), event.clientX);
}, { passive: false });
view.ondblclick = event => zoomTo(zoom * 4, event.clientX);
view.onscroll = ticks;
onresize = () => zoomTo(zoom);
view.onmousemove = event => {
  if (event.buttons & 1) view.scrollBy(-event.movementX, -event.movementY);
  // Bars may be one pixel wide, and lie on the bands of faults.
  const near = [0, -1, 1, -2, 2, -3, 3].flatMap(dx =>
    document.elementsFromPoint(event.clientX + dx, event.clientY))
    .filter(it => it.tagName == 'path');
  const found = near.find(it => it.dataset.kind != 'fault') ?? near[0];
  tip.style.display = $('cursor').style.display = 'block';
  $('cursor').style.left = at(event.clientX) / total * 100 + '%';
  tip.style.left = Math.min(event.clientX + 14, innerWidth - 320) + 'px';
  tip.style.top = Math.min(event.clientY + 14, innerHeight - 110) + 'px';
  const here = at(event.clientX);
  if (!found) { tip.textContent = time(Math.round(Math.max(here, 0))); return; }
  const { kind, host } = found.dataset;
  const lane = document.querySelector(`#names [data-host="${host}"]`);
  const top = $('lanes').getBoundingClientRect().top + +(found.parentNode.dataset.y ?? 0);
  const { begin, end, line } = nearest(found, here, event.clientY - top);
  const [name, more] = found.dataset.name ? [found.dataset.name, line] : line.split('\t');
  const legend = document.querySelector('.legend .' + found.getAttribute('class'));
  const words = { call: `${name}, ${legend?.nextSibling.data.trim()}`, batch: 'batch of ' + name };
  const span = end > begin ? `${time(begin)} – ${time(end)} (${time(end - begin)})` : time(begin);
  tip.textContent = [`${lane ? lane.textContent + ': ' : ''}${words[kind] ?? name}`, span, more]
    .filter(text => text).join('\n').replaceAll('↵', '\n');
};
view.onmouseleave = () => tip.style.display = $('cursor').style.display = 'none';
zoomTo(1);
