// The model in wllama, which is llama.cpp as WebAssembly, in a worker of its own.

import {Wllama, LoggerWithoutDebug} from './wllama/wllama.js';

const TOP_P = 0.95;
const LARGE = 60e6;  // bytes: below, waking a second thread for every matrix costs more than it brings
const THREADS = 4;  // the large cores of most phones; more wait for the slowest
// Whole characters: a small model may write a byte that begins one and no other after it, and wllama ends
// with an error when it is to hand on such a text.
const CHARACTERS = 'root ::= [\\x01-\\uD7FF\\uE000-\\U0010FFFF]*';
const UNKNOWN = -30;  // nats, of a token that llama.cpp says nothing of
const quiet = {...LoggerWithoutDebug, log() {}, warn() {}, error: (...said) => console.warn(...said)};

// wllama's first build wants 64-bit memory, and calls that wait or a Firefox; its second runs in older browsers
export function needsCompat() {
  try {
    new WebAssembly.Memory({address: 'i64', initial: 1n});
  } catch {
    return true;
  }
  return !WebAssembly.Suspending && !/Firefox\//.test(navigator.userAgent);
}

const at = name => new URL(`wllama/${name}`, location.href).href;

export class TooLong extends Error {}

export class Engine {
  constructor(model) { this.model = model; }

  async open(blob) {
    // its own storage is not used, and would refuse an address without https
    const options = {suppressNativeLog: true, logger: quiet, cacheManager: {}, modelManager: {}};
    this.wllama = new Wllama({default: at('wllama.wasm')}, options);
    const compat = needsCompat();
    this.wllama.setCompat(compat ? {worker: at('compat.js'), wasm: at('compat.wasm')} : null, 'firefox_safari');
    const threads = this.model.bytes < LARGE ? 1 : Math.min(THREADS, navigator.hardwareConcurrency || 1);
    await this.wllama.loadModel([blob], {
      n_ctx: this.model.context, n_threads: threads, n_parallel: 1, n_gpu_layers: 0, warmup: false,
    });
  }

  get threads() { return this.wllama.getNumThreads(); }

  // As edgelm's runtime builds prompts: composed, a tag before a text in a language. What looks like a special
  // token in the reader's text is parted, as llama.cpp would take it for one.
  continuing(text, language) {
    return (this.model.languages[language]?.tag ?? this.model.opening) + this.plain(text);
  }

  answering(text) {
    const [before, after] = this.model.chat;
    return before + this.plain(text) + after;
  }

  plain(text) {
    return (this.model.composes ? text.normalize('NFC') : text).replaceAll('<|', '< |');
  }

  // Write after a prompt; `told` hears of all that is written so far. Returns text and tokens; `ready`, seconds
  // until the first token; `seconds` after it, and tokens a second of these; `ended`: stop where the model ended
  // the text, length or cancelled.
  async write(prompt, {tokens, temperature = 0, grammar = CHARACTERS, signal, seed}, told = () => {}) {
    const begin = performance.now();
    const report = {text: '', tokens: 0, ready: 0, seconds: 0, speed: 0, ended: 'length'};
    let first;
    try {
      await this.wllama.createCompletion({
        ...this.options(prompt), max_tokens: tokens, temperature, top_p: temperature ? TOP_P : 1,
        logit_bias: this.model.unfinished.map(one => [one, false]),
        seed, grammar, abortSignal: signal, stream: true,
        onData: piece => {
          first ??= performance.now();
          const [choice] = piece.choices ?? [];
          report.text += choice?.text ?? '';
          if (choice?.finish_reason) report.ended = choice.finish_reason;
          else report.tokens++;
          told(report);
        },
      });
    } catch (error) {
      if (!signal?.aborted) throw understood(error);
    }
    if (signal?.aborted) report.ended = 'cancelled';
    const end = performance.now(), timed = report.ended === 'stop' ? report.tokens : report.tokens - 1;
    report.ready = ((first ?? end) - begin) / 1000;
    report.seconds = (end - (first ?? end)) / 1000;
    report.speed = report.seconds ? Math.max(0, timed) / report.seconds : 0;
    return report;
  }

  // Log-likelihood in nats of each answer, its end included, after one prompt. Answers are lists of tokens, as
  // the tokenizer cuts them: of a text, llama.cpp's grammars would take another cut where that is likelier.
  async score(prompt, answers, signal) {
    const ends = this.wllama.getLoadedContextInfo().list_tokens_eog;
    const others = ends.filter(one => one !== this.model.end).map(one => [one, false]);  // what ends no answer
    const found = [];
    for (const tokens of answers) {
      let said;
      try {
        said = await this.wllama.createCompletion({
          ...this.options(prompt), max_tokens: 64, temperature: 0, grammar: `root ::= ${tokens.map(one => `<[${one}]>`).join(' ')}`,
          logprobs: 1, n_probs: 1, logit_bias: others, abortSignal: signal,
        });
      } catch (error) {
        throw understood(error);
      }
      const scores = said.choices[0].logprobs?.content ?? [];
      found.push(scores.reduce((sum, one) => sum + (one.logprob ?? UNKNOWN), 0));
    }
    return found;
  }

  // The likeliest tokens, or drawn from those that together have `TOP_P`: llama.cpp's other samplers are off.
  options(prompt) {
    return {prompt, top_k: 0, min_p: 0, cache_prompt: true};
  }
}

export const literal = text => JSON.stringify(text);  // GBNF escapes as JSON does

function understood(error) {
  return /context|too (long|large)|exceed/i.test(error?.message ?? '') ? new TooLong(error.message) : error;
}
