'use strict';
// The page of one run. Everything that comes from the API is shown as text (textContent), never as markup.

const RUN = location.pathname.split('/').pop();
const API = `../v1/runs/${encodeURIComponent(RUN)}`;
const KEY = 'agentfleet-key';
const ENDED = new Set(['succeeded', 'failed', 'cancelled', 'expired']);
const PAGE = 200;
const MOST_STEPS = 1000;
const LOOK_EVERY = 5000; // ms: why a run waits changes without an event
const SETTLE = 250; // ms: events come in bursts, and one look shows them all
const $ = (id) => document.getElementById(id);
const opened = new Set();

class Final extends Error {} // asking again would not help
class Refused extends Final {} // another key may

async function ask(path, options = {}) {
  const answer = await fetch(API + path, { ...options, headers: { ...options.headers, Authorization: `Bearer ${sessionStorage.getItem(KEY)}` } });
  if (answer.status === 401) throw new Refused('This key is not known, or was revoked.');
  if (answer.status === 404) throw new Refused('There is no such run, or it belongs to another tenant than the key.');
  if (answer.status === 410) {
    const { detail, archived } = await answer.json();
    throw new Final(`${detail[0].toUpperCase()}${detail.slice(1)}.${archived ? ' Those who run the service can still read it.' : ''}`);
  }
  if (!answer.ok && answer.status !== 304) throw new Error(`The ingress answered ${answer.status}.`);
  return answer;
}

// ---- words

const seconds = (from, to) => (from ? (new Date(to || Date.now()) - new Date(from)) / 1000 : null);
const took = (s) => {
  if (s === null) return '';
  if (s < 1) return `${Math.round(s * 1000)} ms`;
  if (s < 60) return `${s.toFixed(1)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${Math.round(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60)} min`;
};
const count = (n) => (n ?? 0).toLocaleString('en');
const dollars = (text) => (Number(text) ? `$${Number(text).toFixed(Number(text) < 1 ? 4 : 2)}` : '$0');
const clock = (when) => new Date(when).toLocaleTimeString([], { hour12: false });
const words = (state) => state.replaceAll('_', ' ');
const pretty = (value) => (value === null || value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value, null, 2));
const tokens = (usage) => (usage ? (usage.input_tokens || 0) + (usage.output_tokens || 0) + (usage.cache_read_input_tokens || 0) + (usage.cache_creation_input_tokens || 0) : 0);

function make(tag, text, classes) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (classes) node.className = classes;
  return node;
}
const badge = (state) => make('span', words(state), `badge s-${state}`);
const row = (cells) => {
  const tr = make('tr');
  for (const cell of cells) {
    const td = make('td');
    td.append(cell);
    tr.append(td);
  }
  return tr;
};

// ---- the run

function tile(name, value, note, used, max) {
  const node = make('div', undefined, 'tile');
  node.append(make('b', value), make('small', note ? `${name} · ${note}` : name));
  if (max) {
    const bar = make('progress');
    [bar.max, bar.value] = [Number(max), Number(used)];
    bar.title = `${name}: ${used} of at most ${max}`;
    node.append(bar);
  }
  return node;
}

function said(card, head, ...lines) {
  card.replaceChildren(make('strong', head), ...lines.filter(Boolean).map((line) => make('p', line)));
  card.hidden = false;
}

function showRun(run) {
  document.title = `${run.agent} ${words(run.status)} · agentfleet`;
  $('agent').textContent = run.agent;
  $('state').replaceWith(Object.assign(badge(run.status), { id: 'state' }));
  $('ids').textContent = `${run.id} · ${run.model}${run.account ? ` · ${run.account}` : ''}`;
  const { usage, budget } = run;
  const cached = usage.cache_read_tokens ? `${count(usage.cache_read_tokens)} from cache` : '';
  const most = (max) => (max === null ? '' : `of ${max}`);
  $('tiles').replaceChildren(
    tile('cost', dollars(usage.cost_usd), budget.max.cost_usd === null ? '' : `of ${dollars(budget.max.cost_usd)}`, budget.used.cost_usd, budget.max.cost_usd),
    tile('steps', count(usage.steps), most(budget.max.steps), budget.used.steps, budget.max.steps),
    tile('tool calls', count(usage.tool_calls), most(budget.max.tool_calls), budget.used.tool_calls, budget.max.tool_calls),
    tile('tokens in', count(usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens), cached),
    tile('tokens out', count(usage.output_tokens)),
    tile(ENDED.has(run.status) ? 'took' : 'so far', took(seconds(run.created_at, run.finished_at)), run.deadline_at && !run.finished_at ? `until ${clock(run.deadline_at)}` : ''),
  );
  $('waiting').hidden = $('error').hidden = true;
  if (run.waiting) {
    const { blocked_on: what, detail, position, expected_start: start, expected_finish: finish } = run.waiting;
    said($('waiting'), `Waits for: ${words(what)}`, detail,
      position && `Place ${position} in the queue.`,
      start && `Expected to go on at ${clock(start)}.`,
      finish && `Expected to end between ${clock(finish.p50)} and ${clock(finish.p90)}.`);
  }
  if (run.error) {
    said($('error'), words(run.error.class || run.status), run.error.message);
    $('error').classList.toggle('bad', run.status !== 'cancelled');
  }
  $('input').textContent = pretty(run.input);
  $('output').textContent = pretty(run.output) || (ENDED.has(run.status) ? 'None.' : 'Not yet.');
}

function attemptsOf(step) {
  const table = make('table');
  for (const one of step.attempts) {
    const what = make('div');
    what.append(make('div', one.verdict ? `${words(one.outcome)} · ${words(one.verdict)}` : words(one.outcome)));
    if (one.error) what.append(make('div', `${one.error.class}: ${one.error.message}`, 'wrong'));
    const where = make('div', [one.worker, one.request_id].filter(Boolean).join(' · '), 'mono faint');
    table.append(row([`try ${one.fence}`, what, where, clock(one.claimed_at), took(seconds(one.claimed_at, one.finished_at)), dollars(one.cost_usd)]));
  }
  if (step.input) {
    const call = row(['call', make('pre', pretty(step.input))]);
    call.lastChild.colSpan = 5;
    table.append(call);
  }
  const tr = row(['', table]);
  tr.className = 'more';
  tr.lastChild.colSpan = 6;
  return tr;
}

function showSteps(steps) {
  const rows = [];
  for (const step of steps) {
    const name = make('button', step.name, 'open');
    name.type = 'button';
    name.setAttribute('aria-expanded', opened.has(step.id));
    name.addEventListener('click', () => {
      if (!opened.delete(step.id)) opened.add(step.id);
      showSteps(steps);
    });
    const what = make('span');
    what.append(name, make('span', ` ${step.kind}${step.effect ? ` · ${step.effect}` : ''}`, 'kind'));
    const spent = step.attempts.reduce((sum, one) => sum + Number(one.cost_usd), 0);
    const used = step.attempts.reduce((sum, one) => sum + tokens(one.usage), 0);
    const since = step.claimed_at && took(seconds(step.claimed_at, step.finished_at));
    const tr = row([String(step.seq), what, badge(step.status), count(step.attempts.length + (step.status === 'running')), since || '', used ? count(used) : '', spent ? dollars(spent) : '']);
    for (const at of [3, 4, 5, 6]) tr.children[at].className = 'num';
    rows.push(tr);
    if (opened.has(step.id)) rows.push(attemptsOf(step));
    else if (step.error) {
      const why = row(['', make('span', `${step.error.class}: ${step.error.message}`, 'wrong')]);
      why.className = 'more';
      why.lastChild.colSpan = 6;
      rows.push(why);
    }
  }
  if (steps.length >= MOST_STEPS) rows.push(row(['', `Only the first ${MOST_STEPS} steps are shown.`]));
  $('steps').replaceChildren(...rows);
}

function showEvent(event) {
  const { step_id: _, ...data } = event.data;
  const li = make('li');
  const when = make('time', clock(event.created_at));
  when.dateTime = event.created_at;
  const facts = Object.entries(data).filter(([, value]) => value !== null).map(([name, value]) => `${name}=${typeof value === 'object' ? JSON.stringify(value) : value}`);
  li.append(make('span', event.seq), when, make('span', event.type), make('span', facts.join(' '), 'mono'));
  $('events').prepend(li);
}

// ---- looking

let etag = null;
let ended = false;
let looking = null;
let again = false;

async function look() {
  const answer = await ask('', etag ? { headers: { 'If-None-Match': etag } } : {});
  if (answer.status !== 304) {
    etag = null; // `waiting` changes without the version, so only an ended run may be remembered
    const run = await answer.json();
    showRun(run);
    $('run').hidden = false;
    ended = ENDED.has(run.status);
    if (ended) etag = answer.headers.get('ETag');
  }
  const steps = [];
  for (let cursor = ''; cursor !== null && steps.length < MOST_STEPS;) {
    const page = await (await ask(`/steps?attempts=true&limit=${PAGE}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`)).json();
    steps.push(...page.data);
    cursor = page.next_cursor;
  }
  showSteps(steps);
}

function lookSoon() {
  again = true;
  looking ??= setTimeout(async () => {
    again = false;
    try { await look(); $('problem').hidden = true; } catch (error) { show(error); }
    looking = null;
    if (again) lookSoon();
  }, SETTLE);
}

// EventSource cannot send a key, so the stream is read by hand.
async function follow() {
  let last = 0;
  while (sessionStorage.getItem(KEY)) {
    try {
      const answer = await ask('/events', { headers: { 'Last-Event-ID': String(last) } });
      if (answer.status === 204) break;
      $('live').hidden = false;
      for await (const frame of frames(answer.body)) {
        if (frame.event === 'delta') {
          const { text } = JSON.parse(frame.data);
          $('said').append(text);
          $('said').hidden = false;
          $('said').scrollTop = $('said').scrollHeight;
        } else if (frame.data) {
          const event = JSON.parse(frame.data);
          last = event.seq;
          showEvent(event);
          $('said').replaceChildren();
          $('said').hidden = true;
          lookSoon();
        }
      }
    } catch (error) {
      show(error);
      if (error instanceof Final) return;
    }
    $('live').hidden = true;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  $('live').hidden = true;
  lookSoon();
}

async function* frames(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (let text = ''; ;) {
    const { value, done } = await reader.read();
    if (done) return;
    const pieces = (text + value).split('\n\n');
    text = pieces.pop();
    for (const piece of pieces) {
      const frame = {};
      for (const line of piece.split('\n')) {
        const [, name, data] = /^(\w+): ?(.*)$/.exec(line) || [];
        if (name) frame[name] = data;
      }
      yield frame;
    }
  }
}

// ---- the key

function show(error) {
  $('problem').textContent = error instanceof Final ? error.message : `${error.message} Trying again.`;
  $('problem').hidden = false;
  if (error instanceof Refused) login();
}

function login() {
  sessionStorage.removeItem(KEY);
  $('login').hidden = false;
  $('forget').hidden = $('run').hidden = true;
  $('ids').textContent = RUN;
  $('key').focus();
}

async function start() {
  $('login').hidden = $('problem').hidden = true;
  $('forget').hidden = false;
  $('events').replaceChildren();
  try {
    await look();
  } catch (error) {
    show(error);
    if (error instanceof Final) return;
  }
  follow();
}

$('login').addEventListener('submit', (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $('key').value.trim());
  $('key').value = '';
  start();
});
$('forget').addEventListener('click', () => { sessionStorage.removeItem(KEY); location.reload(); });
setInterval(() => { if (!ended && !$('run').hidden && !document.hidden) lookSoon(); }, LOOK_EVERY);
if (sessionStorage.getItem(KEY)) start();
else login();
