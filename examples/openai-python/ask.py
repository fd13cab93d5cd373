"""A model uses the tools behind onegate: it asks for calls, you review them, onegate executes them, the model goes on.

    pip install openai                                 # and `onegate serve` in another terminal
    export OPENAI_API_KEY=...                          # OPENAI_BASE_URL, MODEL: of another provider
    python ask.py "What is in my notes?"               # by chat completions
    python ask.py --responses "What is in my notes?"   # by the responses API

ONEGATE_URL says where the gateway is (http://127.0.0.1:8080), ONEGATE_KEY is the API key that it asks for, if any.
"""

import json
import os
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from openai import OpenAI

ROUNDS = 10  # a model that asks for call after call is stopped here
SECONDS = 300  # for one round of calls

model = os.environ.get("MODEL", "gpt-5-mini")
client = OpenAI()


def chat(question):
    tools = onegate("/v1/mcp/tools?format=chat")["tools"]
    messages = [{"role": "user", "content": question}]
    for _ in range(ROUNDS):
        message = client.chat.completions.create(model=model, messages=messages, tools=tools).choices[0].message
        if not message.tool_calls:
            return message.content
        messages += [message, *executed("chat", [call.model_dump() for call in message.tool_calls])]
    return "The model does not come to an end."


def responses(question):
    tools = onegate("/v1/mcp/tools?format=responses")["tools"]
    items = [{"role": "user", "content": question}]
    for _ in range(ROUNDS):
        response = client.responses.create(model=model, input=items, tools=tools)
        calls = [item.model_dump() for item in response.output if item.type == "function_call"]
        if not calls:
            return response.output_text
        items += [*response.output, *executed("responses", calls)]
    return "The model does not come to an end."


def executed(form, calls):
    """What to append to the conversation: an answer to each call, in its order."""
    reviewed = [(call, approves(call.get("function", call))) for call in calls]
    approved = [call for call, good in reviewed if good]
    results = iter(onegate(f"/v1/mcp/tool/execute?format={form}", approved) if approved else [])
    for call, good in reviewed:
        answer = next(results) if good else {"error": {"message": "The user declined this call."}}
        # One call of several can fail by itself, and the model is told so.
        yield WRITTEN[form](call, answer["error"]["message"]) if "error" in answer else answer


def approves(function):
    """Your review: a program could also look the call up in a list of its own."""
    return input(f"{function['name']} {function['arguments']} - execute? [y/n] ").strip() == "y"


WRITTEN = {
    "chat": lambda call, text: {"role": "tool", "tool_call_id": call["id"], "content": text},
    "responses": lambda call, text: {"type": "function_call_output", "call_id": call["call_id"], "output": text},
}


def onegate(path, body=None):
    """One request to the gateway: GET, or POST of a body."""
    key = os.environ.get("ONEGATE_KEY")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    url = os.environ.get("ONEGATE_URL", "http://127.0.0.1:8080") + path
    try:
        with urlopen(Request(url, body and json.dumps(body).encode(), headers), timeout=SECONDS) as answer:
            return json.load(answer)
    except HTTPError as refusal:
        sys.exit(f"onegate: {json.load(refusal)['error']['message']}")


if __name__ == "__main__":
    ask = responses if "--responses" in sys.argv else chat
    print(ask(" ".join(word for word in sys.argv[1:] if word != "--responses")))
