// A model uses the tools behind onegate: it asks for calls, you review them, onegate executes them, the model goes on.
//
//     npm install                                       # and `onegate serve` in another terminal
//     export OPENAI_API_KEY=...                         # OPENAI_BASE_URL, MODEL: of another provider
//     node ask.ts "What is in my notes?"                # by chat completions
//     node ask.ts --responses "What is in my notes?"    # by the responses API
//
// ONEGATE_URL says where the gateway is (http://127.0.0.1:8080), ONEGATE_KEY is the API key that it asks for, if any.

import { createInterface } from "node:readline";
import OpenAI from "openai";

type Form = "chat" | "responses";
type Item = Record<string, any>;

const ROUNDS = 10; // a model that asks for call after call is stopped here
const SECONDS = 300; // for one round of calls

const { ONEGATE_URL = "http://127.0.0.1:8080", ONEGATE_KEY, MODEL: model = "gpt-5-mini" } = process.env;
const client = new OpenAI();
const terminal = createInterface({ input: process.stdin });
const lines = terminal[Symbol.asyncIterator]();

async function chat(question: string): Promise<string | null> {
  const { tools } = await onegate("/v1/mcp/tools?format=chat");
  const messages: any[] = [{ role: "user", content: question }];
  for (let round = 0; round < ROUNDS; round++) {
    const { message } = (await client.chat.completions.create({ model, messages, tools })).choices[0];
    if (!message.tool_calls?.length) return message.content;
    messages.push(message, ...(await executed("chat", message.tool_calls)));
  }
  return "The model does not come to an end.";
}

async function responses(question: string): Promise<string> {
  const { tools } = await onegate("/v1/mcp/tools?format=responses");
  const input: any[] = [{ role: "user", content: question }];
  for (let round = 0; round < ROUNDS; round++) {
    const response = await client.responses.create({ model, input, tools });
    const calls = response.output.filter((item) => item.type === "function_call");
    if (!calls.length) return response.output_text;
    input.push(...response.output, ...(await executed("responses", calls)));
  }
  return "The model does not come to an end.";
}

/** What to append to the conversation: an answer to each call, in its order. */
async function executed(form: Form, calls: Item[]): Promise<Item[]> {
  const approved: Item[] = [];
  for (const call of calls) if (await approves(call.function ?? call)) approved.push(call);
  const results = approved.length ? await onegate(`/v1/mcp/tool/execute?format=${form}`, approved) : [];
  return calls.map((call) => {
    const answer = approved.includes(call) ? results.shift() : { error: { message: "The user declined this call." } };
    // One call of several can fail by itself, and the model is told so.
    return answer.error ? WRITTEN[form](call, answer.error.message) : answer;
  });
}

/** Your review: a program could also look the call up in a list of its own. */
async function approves(called: Item): Promise<boolean> {
  process.stdout.write(`${called.name} ${called.arguments} - execute? [y/n] `);
  return (await lines.next()).value?.trim() === "y";
}

const WRITTEN: Record<Form, (call: Item, text: string) => Item> = {
  chat: (call, text) => ({ role: "tool", tool_call_id: call.id, content: text }),
  responses: (call, text) => ({ type: "function_call_output", call_id: call.call_id, output: text }),
};

/** One request to the gateway: GET, or POST of a body. */
async function onegate(path: string, body?: unknown): Promise<any> {
  const answer = await fetch(ONEGATE_URL + path, {
    method: body ? "POST" : "GET",
    headers: { "Content-Type": "application/json", ...(ONEGATE_KEY && { Authorization: `Bearer ${ONEGATE_KEY}` }) },
    body: body ? JSON.stringify(body) : undefined,
    signal: AbortSignal.timeout(SECONDS * 1000),
  });
  if (answer.ok) return answer.json();
  console.error(`onegate: ${(await answer.json()).error.message}`);
  process.exit(1);
}

const words = process.argv.slice(2);
const ask = words.includes("--responses") ? responses : chat;
console.log(await ask(words.filter((word) => word !== "--responses").join(" ")));
terminal.close();
