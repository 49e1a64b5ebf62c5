#!/usr/bin/env python3
"""A model that says what a script says, on loopback, so that real agents run without a network.

It answers two public wire protocols, as events (SSE) or as one document:

  POST .../v1/messages    Anthropic Messages, for Claude Code
  POST .../v1/responses   OpenAI Responses, for Codex

The script is a file of JSON Lines, one turn a line, read anew for each call, so that a test can add a turn while an agent runs:

  {"think": "...", "say": "...", "call": {"tool": "Bash", "input": {...}}}

Each part may be missing. A call of the model that offers tools takes the next turn, and waits for it (30 s) while a file
`SCRIPT.more` exists; when there is none left, it says "done". What the agents sent is kept in LOG, one request a line.

usage: model.py SCRIPT LOG          prints the port
"""
import http.server
import json
import os
import sys
import threading
import time

TURN_LIMIT = 200


class Model(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, script, log):
        super().__init__(("127.0.0.1", 0), Door)
        self.script, self.log = script, open(log, "a", encoding="utf-8")
        self.taken, self.lock = 0, threading.Lock()

    def next_turn(self):
        with self.lock:
            mine = self.taken
            self.taken += 1
        end = time.monotonic() + 30
        while True:
            with open(self.script, encoding="utf-8") as lines:
                turns = [json.loads(line) for line in lines if line.strip()]
            if mine < len(turns):
                return mine, turns[mine]
            if mine >= TURN_LIMIT or time.monotonic() > end or not os.path.exists(self.script + ".more"):
                return mine, {"say": "done"}
            time.sleep(0.05)

    def keep(self, path, request):
        with self.lock:
            self.log.write(json.dumps({"path": path, "request": request}) + "\n")
            self.log.flush()


class Door(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.document({}, body=False)

    def do_GET(self):
        self.document({"data": [], "models": [], "has_more": False})

    def do_POST(self):
        size = int(self.headers.get("content-length") or 0)
        if self.headers.get("content-encoding"):
            self.rfile.read(size)
            return self.document({"error": {"message": "send it plain"}}, status=415)
        try:
            request = json.loads(self.rfile.read(size) or b"{}")
        except ValueError:
            return self.document({"error": {"message": "not JSON"}}, status=400)
        path = self.path.split("?")[0]
        self.server.keep(path, request)
        if path.endswith("/count_tokens"):
            return self.document({"input_tokens": 1})
        # Titles and summaries are asked for without tools: they take no turn.
        number, turn = self.server.next_turn() if request.get("tools") else (TURN_LIMIT, {"say": "fine"})
        if path.endswith("/messages"):
            return self.anthropic(request, number, turn)
        if path.endswith("/responses"):
            return self.openai(request, number, turn)
        return self.document({})

    def document(self, value, status=200, body=True):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def events(self, events):
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("connection", "close")
        self.end_headers()
        for event in events:
            self.wfile.write(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode())
        self.wfile.flush()
        self.close_connection = True

    def anthropic(self, request, number, turn):
        """Anthropic Messages: each block comes as a start, one delta (two for thoughts) and a stop."""
        blocks = []
        if turn.get("think"):
            thought = {"type": "thinking", "thinking": turn["think"], "signature": "bm9uZQ=="}
            empty = {"type": "thinking", "thinking": "", "signature": ""}
            deltas = [
                {"type": "thinking_delta", "thinking": thought["thinking"]},
                {"type": "signature_delta", "signature": thought["signature"]},
            ]
            blocks.append((thought, empty, deltas))
        if turn.get("say"):
            said = {"type": "text", "text": turn["say"]}
            blocks.append((said, {"type": "text", "text": ""}, [{"type": "text_delta", "text": turn["say"]}]))
        if turn.get("call"):
            call = {
                "type": "tool_use",
                "id": f"toolu_{number:04}",
                "name": turn["call"]["tool"],
                "input": turn["call"]["input"],
            }
            delta = {"type": "input_json_delta", "partial_json": json.dumps(call["input"])}
            blocks.append((call, {**call, "input": {}}, [delta]))
        whole = {
            "id": f"msg_{number:04}",
            "type": "message",
            "role": "assistant",
            "model": request.get("model", "scripted"),
            "content": [block for block, _, _ in blocks],
            "stop_reason": "tool_use" if turn.get("call") else "end_turn",
            "stop_sequence": None,
            "usage": {"input_tokens": 1, "output_tokens": 1},
        }
        if not request.get("stream"):
            return self.document(whole)
        events = [{"type": "message_start", "message": {**whole, "content": [], "stop_reason": None}}]
        for index, (_, empty, deltas) in enumerate(blocks):
            events.append({"type": "content_block_start", "index": index, "content_block": empty})
            events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
            events.append({"type": "content_block_stop", "index": index})
        ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
        events.append({"type": "message_delta", "delta": ended, "usage": {"output_tokens": 1}})
        events.append({"type": "message_stop"})
        return self.events(events)

    def openai(self, request, number, turn):
        """OpenAI Responses: each item comes as added and as done."""
        items = []
        if turn.get("think"):
            summary = [{"type": "summary_text", "text": turn["think"]}]
            items.append({"type": "reasoning", "id": f"rs_{number:04}", "summary": summary})
        if turn.get("say"):
            content = [{"type": "output_text", "text": turn["say"], "annotations": []}]
            message = {"type": "message", "id": f"msg_{number:04}", "role": "assistant", "status": "completed"}
            items.append({**message, "content": content})
        if turn.get("call"):
            call = {"id": f"fc_{number:04}", "call_id": f"call_{number:04}", "status": "completed"}
            tool, said = turn["call"]["tool"], turn["call"]["input"]
            if isinstance(said, str):
                items.append({**call, "type": "custom_tool_call", "name": tool, "input": said})
            else:
                items.append({**call, "type": "function_call", "name": tool, "arguments": json.dumps(said)})
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        usage["input_tokens_details"] = {"cached_tokens": 0}
        usage["output_tokens_details"] = {"reasoning_tokens": 0}
        whole = {"id": f"resp_{number:04}", "object": "response", "status": "completed"}
        whole.update(model=request.get("model", "scripted"), output=items, usage=usage)
        if request.get("stream") is False:
            return self.document(whole)
        events = [{"type": "response.created", "response": {**whole, "status": "in_progress", "output": []}}]
        for index, item in enumerate(items):
            for step in ("added", "done"):
                events.append({"type": f"response.output_item.{step}", "output_index": index, "item": item})
        events.append({"type": "response.completed", "response": whole})
        return self.events(events)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model = Model(sys.argv[1], sys.argv[2])
    print(model.server_address[1], flush=True)
    model.serve_forever()


main()
