"""Serve an exported model by OpenAI's chat completions API, with the handlers of `transformers serve`.

``python -m stages.release.serve --model data/export``; then any client of that API talks to
http://127.0.0.1:8000/v1, and names the model as the folder is named here. Only this model is served, no code from its
folder is run, and what people write stays text: a control token spelled out in a message is none. An address that
others reach is bound only with a key, which clients send as theirs: it is read from the variable HEADWATER_API_KEY,
where a list of processes does not show it.
"""

import argparse
import hmac
import ipaddress
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import uvicorn
from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, ValidationError
from transformers import BatchEncoding, PreTrainedTokenizerFast
from transformers.utils import logging

from stages.core.errors import HeadwaterError
from stages.core.runtime import profile
from stages.release import architecture
from stages.release.conversation import Message, prompt

KEY = "HEADWATER_API_KEY"
_MAX_BODY = 1 << 20  # bytes; a conversation is far smaller
_LOOPBACK = {"localhost", "127.0.0.1", "[::1]"}


class Part(BaseModel):
    """A piece of a message."""

    type: Literal["text"]
    text: str


class Turn(BaseModel):
    """A message of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str | list[Part]


class Asked(BaseModel):
    """What of a request is checked before it goes to `transformers`, which checks the rest."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None

    def conversation(self) -> list[Message]:
        """The messages with their pieces joined."""
        return [
            {
                "role": turn.role,
                "content": turn.content if isinstance(turn.content, str) else "".join(p.text for p in turn.content),
            }
            for turn in self.messages
        ]


class PlainText(PreTrainedTokenizerFast):
    """A tokenizer whose chat template leaves the text of messages text."""

    def apply_chat_template(self, conversation: Any, tokenize: bool = True, **named: Any) -> Any:
        """Ids of messages as tensors, ready for the assistant's turn; or what the template itself says."""
        if not tokenize:
            return super().apply_chat_template(conversation, tokenize=False, **named)
        ids = torch.tensor([prompt(self, conversation)])
        return BatchEncoding({"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def application(folder: Path, key: str | None) -> FastAPI:
    """The server's application, with the model loaded.

    Args:
        folder: Of the exported model.
        key: That clients must send; without one only names of this machine itself are answered.

    Raises:
        HeadwaterError: there is no model in the folder that continues text, or the packages are not installed.
    """
    _check(folder)
    handler = _handler(folder)
    app = FastAPI(dependencies=[Depends(_guard(key))], docs_url=None, redoc_url=None, openapi_url=None)

    @app.exception_handler(HTTPException)
    def refuse(_: Request, error: HTTPException) -> JSONResponse:
        # As clients of OpenAI's API read it.
        said = {"message": str(error.detail), "type": "invalid_request_error", "param": None, "code": None}
        return JSONResponse({"error": said}, status_code=error.status_code)

    @app.post("/v1/chat/completions")
    async def complete(request: Request) -> Response:
        try:
            body = await request.json()
            asked = Asked.model_validate(body)
        except ValidationError as error:
            first = error.errors()[0]
            raise HTTPException(422, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        except ValueError as error:
            raise HTTPException(400, f"not JSON: {error}") from None
        answered: Response = await handler.answer(body, asked)
        return answered

    @app.get("/v1/models")
    def models() -> JSONResponse:
        listed = {"id": str(folder), "object": "model", "created": 0, "owned_by": "headwater"}
        return JSONResponse({"object": "list", "data": [listed]})

    @app.get("/health")
    def health() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until interrupted; exit code 1 if it could not begin."""
    about = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m stages.release.serve", description=about)
    parser.add_argument("--model", type=Path, required=True, metavar="PATH", help="folder with the exported model")
    parser.add_argument(
        "--host", default="127.0.0.1", help=f"address to bind (%(default)s); others than loopback need {KEY}"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to bind (%(default)s)")
    options = parser.parse_args(arguments)
    try:
        key = os.environ.get(KEY)
        if not key and not _loopback(options.host):
            raise HeadwaterError(f"{options.host} can be reached by others: set {KEY} to a key that clients must send")
        app = application(options.model, key)
    except HeadwaterError as error:
        print(f"error: serve: {error}", file=sys.stderr)
        return 1
    uvicorn.run(app, host=options.host, port=options.port)
    return 0


def _check(folder: Path) -> None:
    if not architecture.head(folder).continues:
        raise HeadwaterError(f"{folder}: the model does not continue text, so it cannot chat")
    if find_spec("openai") is None:
        raise HeadwaterError("the package openai, which describes the answers, is missing: pip install '.[serve]'")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _guard(key: str | None) -> Callable[[Request], Awaitable[None]]:
    async def checked(request: Request) -> None:
        if key:
            sent = request.headers.get("authorization", "").encode()
            if not hmac.compare_digest(sent, f"Bearer {key}".encode()):
                raise HTTPException(401, "the key is missing or wrong")
        elif request.headers.get("host", "").rpartition(":")[0] not in _LOOPBACK:
            # A page in a browser on this machine may have had its name's address changed to this one's.
            raise HTTPException(403, "only this machine's own names are answered")
        if request.method == "POST":
            length = request.headers.get("content-length", "")
            if not length.isdigit() or int(length) > _MAX_BODY:
                raise HTTPException(413, f"a request has a length, of at most {_MAX_BODY} bytes")

    return checked


def _handler(folder: Path) -> Any:
    """The handler of `transformers serve`, for one model."""
    from transformers.cli.serving.chat_completion import ChatCompletionHandler
    from transformers.cli.serving.model_manager import ModelManager
    from transformers.cli.serving.utils import GenerationState

    class Pinned(ModelManager):
        def _load_processor(self, model_id_and_revision: str, gguf_file: str | None = None) -> Any:
            return PlainText.from_pretrained(folder, local_files_only=True)

    class Handler(ChatCompletionHandler):
        async def answer(self, body: dict[str, Any], asked: Asked) -> Any:
            """The answer, no longer than the context has room for."""
            _, model, tokenizer = self._resolve_model(body | {"messages": []})
            messages = asked.conversation()
            room = model.config.max_position_embeddings - len(prompt(tokenizer, messages))
            if room < 1:
                raise HTTPException(400, f"messages: {1 - room} tokens more than the model's context has room for")
            length = min(asked.max_completion_tokens or asked.max_tokens or room, room)
            body = body | {"messages": messages, "max_completion_tokens": length}
            body.pop("max_tokens", None)
            return await self.handle_request(body, uuid.uuid4().hex)

        def _build_generation_config(self, body: dict[str, Any], *arguments: Any, **named: Any) -> Any:
            config = super()._build_generation_config(body, *arguments, **named)
            config.do_sample = body.get("temperature") != 0  # else a temperature would be passed over
            config.top_k = config.top_k or 0  # else 50, of which OpenAI's API says nothing
            return config

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    torch.set_num_threads(profile().threads)
    manager = Pinned(force_model=str(folder), trust_remote_code=False)
    return Handler(model_manager=manager, generation_state=GenerationState())


if __name__ == "__main__":
    sys.exit(main())
