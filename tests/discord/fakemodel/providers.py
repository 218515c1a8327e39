"""What each provider refuses in a request, and how it says so.  The sources are rows of ../assumptions.md.

A rule is a function body -> None, or (status, message, param, code).
"""

import re

NAME9 = re.compile(r"[A-Za-z0-9]{9}")
IMAGE = re.compile(r"data:image/(jpeg|jpg|png|webp);base64,")
MISTRAL = {"model", "messages", "temperature", "top_p", "max_tokens", "stream", "stop", "random_seed",
           "response_format", "tools", "tool_choice", "presence_penalty", "frequency_penalty", "n", "prediction",
           "parallel_tool_calls", "safe_prompt", "metadata"}


# Makers of rules

def refuse(*fields, code="unsupported_parameter", why="is not supported by this model"):
    def rule(body):
        for field in fields:
            if body.get(field) is not None:
                return 400, f"Unsupported parameter: '{field}' {why}.", field, code
        return None
    return rule


def only(field, *values):
    def rule(body):
        if body.get(field) is not None and body[field] not in values:
            return (400, f"Unsupported value: '{field}' does not support {body[field]!r} with this model.", field,
                    "unsupported_value")
        return None
    return rule


def known(fields):
    def rule(body):
        extra = sorted(set(body) - fields)
        if extra:
            return 422, "Extra inputs are not permitted", extra[0], "extra_forbidden"
        return None
    return rule


# Rules

def stream_options(body):
    if body.get("stream_options") is not None and not body.get("stream"):
        return (400, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options",
                None)
    return None


def no_names(body):
    for i, m in enumerate(body["messages"]):
        if "name" in m:
            return 400, f"'messages.{i}' : property 'name' is unsupported", f"messages.{i}.name", None
    return None


def parts(m):
    return m["content"] if isinstance(m.get("content"), list) else ()


def data_images(body):
    for m in body["messages"]:
        for part in parts(m):
            if part.get("type") == "image_url":
                url = part["image_url"]
                url = url.get("url", "") if isinstance(url, dict) else url
                if not IMAGE.match(url):
                    return 400, "invalid image input", None, None
    return None


def tool_parity(body):
    """Every call is followed by exactly one result, and there is no result without a call."""
    due = []
    for m in body["messages"]:
        if m.get("role") == "tool":
            if m.get("tool_call_id") not in due:
                return 400, "Unexpected tool call id in tool results", "messages", "3230"
            due.remove(m["tool_call_id"])
        elif due:
            return 400, "Not the same number of function calls and responses", "messages", "3230"
        due += [c.get("id") for c in m.get("tool_calls") or ()]
    if due:
        return 400, "Not the same number of function calls and responses", "messages", "3230"
    return None


def mistral_order(body):
    last = None
    for m in body["messages"]:
        role = m.get("role")
        if role == "user" and last == "tool":
            return 400, "Unexpected role 'user' after role 'tool'", "messages", "3230"
        if role == "system" and last not in (None, "system"):
            return 400, f"Unexpected role 'system' after role '{last}'", "messages", "3230"
        last = role
    if last not in ("user", "tool"):
        return 400, "Expected last role User or Tool (or Assistant with prefix True) for serving", "messages", "3230"
    return None


def nine(body):
    for m in body["messages"]:
        for wrong in [c.get("id") for c in m.get("tool_calls") or ()] + [m.get("tool_call_id")]:
            if wrong is not None and not NAME9.fullmatch(str(wrong)):
                return (400, f"Tool call id was {wrong} but must be a-z, A-Z, 0-9, with a length of 9.", "messages",
                        "3280")
    return None


def no_reasoning(body):
    for i, m in enumerate(body["messages"]):
        if "reasoning_content" in m:
            return 422, "Extra inputs are not permitted", f"messages.{i}.assistant.reasoning_content", "extra_forbidden"
    return None


def alternate(status):
    """User and assistant take turns, the user first; what a tool says belongs to the assistant."""
    def rule(body):
        last = "assistant"
        for m in body["messages"]:
            role = m.get("role")
            if role == last in ("user", "assistant"):
                return (status, "Conversation roles must alternate user/assistant/user/assistant/...", "messages", None)
            if role in ("user", "assistant", "tool"):
                last = role
        return None
    return rule


def no_images(body):
    for m in body["messages"]:
        if any(part.get("type") == "image_url" for part in parts(m)):
            return 400, "unknown variant `image_url`, expected `text`", "messages", None
    return None


def thinking(body):
    return (body.get("thinking") or {}).get("type") != "disabled"


def echo_reasoning(body):
    """Each of its turns had some."""
    if not thinking(body):
        return None
    for m in body["messages"]:
        if m.get("role") == "assistant" and "reasoning_content" not in m:
            return (400, "The reasoning_content in the thinking mode must be passed back to the API.", "messages",
                    "invalid_request_error")
    return None


# Shapes of an error body

def shape_openai(status, message, param, code):
    return {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "server_error",
                      "param": param, "code": code}}


def shape_text(status, message, param, code):
    return {"error": message}


def shape_object(status, message, param, code):
    return {"object": "error", "message": message, "type": "invalid_request_error", "param": param,
            "code": code or status}


def shape_mistral(status, message, param, code):
    if status == 422:
        return {"object": "error", "message": {"detail": [{"type": code, "loc": ["body", *param.split(".")],
                                                           "msg": message}]},
                "type": "invalid_request_error", "param": None, "code": None}
    return shape_object(status, message, param, code)


def shape_int_code(status, message, param, code):
    return {"error": {"message": message, "code": status, "metadata": {"provider_name": "Fake"}}}


def shape_ollama(status, message, param, code):
    return {"error": {"message": message, "type": "invalid_request_error" if status < 500 else "api_error",
                      "param": None, "code": None}}


class Provider:
    def __init__(self, *rules, shape=shape_openai, needs_key=True, **traits):
        self.rules = (stream_options, tool_parity, *rules)
        self.shape = shape
        self.needs_key = needs_key
        self.key_header = traits.pop("key_header", "authorization")
        self.reasoning = traits.pop("reasoning", "reasoning_content")   # the delta's field
        self.comments = traits.pop("comments", ())      # sent before the first event
        self.pad = traits.pop("pad", False)             # an obfuscation field in each chunk
        self.filters = traits.pop("filters", False)     # Azure's additions
        self.usage = traits.pop("usage", "asked")       # "asked", "always" (on the chunk with finish_reason)
        self.timings = traits.pop("timings", False)
        self.bad_json = traits.pop("bad_json", 400)     # status for a body that is not JSON
        self.thinks = traits.pop("thinks", False)       # each answer begins with reasoning
        self.model = traits.pop("model", None)          # fields that a row of /v1/models has more
        assert not traits, traits

    def verdict(self, body):
        return next((v for v in (rule(body) for rule in self.rules) if v), None)


# Models that reason, by the beginnings of their names.
THINKERS = {"openai": ("o1", "o3", "o4", "gpt-5"), "xai": ("grok-3-mini", "grok-4"), "deepseek": ("deepseek-reasoner",)}
SAMPLING = ("temperature", "top_p", "presence_penalty", "frequency_penalty")
OPENAI_ONLY = ("safety_identifier", "prompt_cache_key", "verbosity")
FOREIGN = ("random_seed", "safe_prompt", "thinking", "options", "num_ctx")
LOCAL = ("user", "store", "metadata", "service_tier", *OPENAI_ONLY)


def thinker(family, *rules):
    """Rules for the models of that family that reason."""
    def rule(body):
        if not body["model"].startswith(THINKERS[family]):
            return None
        return next((v for v in (r(body) for r in rules) if v), None)
    return rule


def not_thinker(family, *fields):
    def rule(body):
        return None if body["model"].startswith(THINKERS[family]) else refuse(*fields)(body)
    return rule


NEW_LENGTH = refuse("max_tokens", why="is not supported with this model; use 'max_completion_tokens' instead")
OPENAI = (refuse(*FOREIGN), not_thinker("openai", "reasoning_effort", "verbosity"),
          thinker("openai", NEW_LENGTH, only("temperature", 1), refuse("stop", *SAMPLING[1:])))

PROVIDERS = {
    # Refuses nothing but nonsense.
    "plain": Provider(),
    "openai": Provider(*OPENAI, pad=True),
    "ollama": Provider(refuse("tool_choice", "parallel_tool_calls", "n", "logit_bias", "max_completion_tokens", *LOCAL),
                       data_images, needs_key=False, shape=shape_ollama, reasoning="reasoning"),
    "llamacpp": Provider(refuse("max_completion_tokens", *LOCAL), alternate(500), needs_key=False, timings=True,
                         bad_json=500, model={"meta": {"n_ctx_train": 32768}}),
    "vllm": Provider(refuse(*OPENAI_ONLY), needs_key=False, shape=shape_object, reasoning="reasoning",
                     model={"max_model_len": 32768}),
    "openrouter": Provider(refuse(*OPENAI_ONLY), shape=shape_int_code, reasoning="reasoning", usage="always",
                           comments=(": OPENROUTER PROCESSING",) * 3),
    "groq": Provider(no_names, refuse("logprobs", "logit_bias", "top_logprobs", *OPENAI_ONLY), only("n", 1)),
    "mistral": Provider(known(MISTRAL), no_reasoning, mistral_order, alternate(400), nine, shape=shape_mistral,
                        usage="always"),
    "xai": Provider(refuse(*OPENAI_ONLY), thinker("xai", refuse(*SAMPLING[2:], "stop", "reasoning_effort"))),
    "lmstudio": Provider(refuse("max_completion_tokens", *LOCAL), needs_key=False, shape=shape_text),
    "azure": Provider(*OPENAI, refuse("safety_identifier"), key_header="api-key", filters=True),
    "gemini": Provider(refuse("seed", "user", "logit_bias", "logprobs", "store", *SAMPLING[2:], *OPENAI_ONLY)),
    "deepseek": Provider(echo_reasoning, no_images, refuse("seed", "user", "max_completion_tokens", *OPENAI_ONLY),
                         thinker("deepseek", refuse(*SAMPLING)), thinks=True, comments=("", ": keep-alive", "")),
}
