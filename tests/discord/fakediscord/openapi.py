"""Discord's OpenAPI description as a judge of requests.  Parsed at the first request, once per process;
a validator is built at the first use of its operation."""

import functools
import json
import pathlib
import warnings

PATH = pathlib.Path(__file__).resolve().parent.parent / "openapi.json"
# Where Discord is known to take more than its description says.
DIFFERENCES = {
    "SnowflakeType": {"type": ["string", "integer"], "pattern": "^(0|[1-9][0-9]*)$", "minimum": 0},
}
METHODS = ("get", "post", "put", "patch", "delete")


class Operation:
    def __init__(self, method, template, node, shared):
        self.method = method
        self.template = template
        self.id = node["operationId"]
        self.free = any(not s for s in node.get("security", []))
        params = [*shared, *node.get("parameters", [])]
        self.query = {p["name"]: p for p in params if p["in"] == "query"}
        self.path_schemas = {p["name"]: p["schema"] for p in params if p["in"] == "path"}
        body = node.get("requestBody", {})
        self.body_required = body.get("required", False)
        self.body_schema = body.get("content", {}).get("application/json", {}).get("schema")
        self.takes_body = bool(body)


class Description:
    def __init__(self):
        with open(PATH, encoding="utf-8") as f:
            self.doc = json.load(f)
        self.doc["components"]["schemas"].update(DIFFERENCES)
        self.tree = {}
        self.validators = {}
        for template, item in self.doc["paths"].items():
            node = self.tree
            for part in template.strip("/").split("/"):
                node = node.setdefault("{}" if part.startswith("{") else part, {})
            node[""] = {m.upper(): Operation(m.upper(), template, item[m], item.get("parameters", []))
                        for m in METHODS if m in item}

    def match(self, parts):
        """{method: Operation} of a path given in parts, or None.  A literal part beats a parameter."""
        def walk(node, i):
            if i == len(parts):
                return node.get("")
            for key in (parts[i], "{}"):
                if key and key in node:
                    found = walk(node[key], i + 1)
                    if found:
                        return found
            return None
        return walk(self.tree, 0)

    def validator(self, schema):
        key = id(schema)
        if key not in self.validators:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)     # RefResolver, from jsonschema 4.18 on
                from jsonschema import Draft202012Validator, RefResolver
                self.validators[key] = Draft202012Validator(schema, resolver=RefResolver("", self.doc))
        return self.validators[key]

    def check(self, op, params, query, body):
        """[(path, message)]: what is wrong with a request; query is [(name, text)], body None when absent."""
        wrong = []
        for name, schema in op.path_schemas.items():
            if not self.fits(schema, params.get(name, "")):
                wrong.append(((name,), "path parameter does not fit"))
        for name, text in query:
            if name not in op.query:
                wrong.append(((name,), "unknown query parameter"))
            elif text and not self.fits(op.query[name]["schema"], text):
                wrong.append(((name,), f"query value {text!r} does not fit"))
        given = {name for name, _ in query}
        wrong += [((p,), "query parameter is required") for p, s in op.query.items()
                  if s.get("required") and p not in given]
        if body is None:
            if op.body_required:
                wrong.append(((), "a body is required"))
        elif op.body_schema is not None:
            wrong += [(tuple(e.absolute_path), e.message[:200])
                      for e in self.validator(op.body_schema).iter_errors(body)]
        elif not op.takes_body and body not in ({}, []):
            wrong.append(((), "this route takes no body"))
        return wrong

    def fits(self, schema, text):
        """Does the text of a path or query value fit in any reading of it?"""
        readings = [text]
        if text.lower() in ("true", "1"):
            readings.append(True)
        if text.lower() in ("false", "0"):
            readings.append(False)
        try:
            readings.append(int(text))
        except ValueError:
            pass
        readings += [[r] for r in readings]
        check = self.validator(schema)
        return any(check.is_valid(r) for r in readings)


@functools.lru_cache(maxsize=1)
def load():
    return Description()


def params(template, parts):
    return {t[1:-1]: p for t, p in zip(template.strip("/").split("/"), parts) if t.startswith("{")}


def tree(wrong):
    """Discord's error tree of [(path, message)]."""
    root = {}
    for path, message in wrong:
        node = root
        for part in path:
            node = node.setdefault(str(part), {})
        node.setdefault("_errors", []).append({"code": "BASE_TYPE_BAD", "message": message})
    return root
