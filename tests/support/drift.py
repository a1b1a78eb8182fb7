"""Compares what students start from with the reference: names, arguments and documentation."""

import ast
import inspect


def documented(source):
    """Yield all public functions, classes and methods of a text: their name and their syntax tree."""
    for node in ast.parse(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name, node
            for part in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(part, ast.FunctionDef) and (part.name == "__init__" or part.name[0] != "_"):
                    yield f"{node.name}.{part.name}", part


def differences(source, reference):
    """Return what a text has otherwise than the reference's module, in sentences.

    The reference may take more arguments, which then have defaults, and its documentation may go on where the
    first line of the other one ends.
    """
    found = []
    for name, node in documented(source):
        theirs = reference
        for part in name.split("."):
            theirs = getattr(theirs, part, None)
        if theirs is None:
            found.append(f"{name} is not in the reference")
            continue
        if not name.endswith("__init__"):
            first = (ast.get_docstring(node) or "?").partition("\n")[0].rstrip(".")
            if not (inspect.getdoc(theirs) or "").startswith(first):
                found.append(f"{name}: {first!r} is not how {inspect.getdoc(theirs)!r} begins")
        if isinstance(node, ast.FunctionDef):
            wanted = list(inspect.signature(theirs).parameters.values())
            names = [argument.arg for argument in node.args.args]
            if names != [parameter.name for parameter in wanted[: len(names)]]:
                found.append(f"{name}: {names} are not the first of {wanted}")
            if any(it.default is it.empty and it.kind not in (2, 4) for it in wanted[len(names) :]):
                found.append(f"{name}: one of {wanted} is missing")
            for argument, default in zip(reversed(names), reversed(node.args.defaults), strict=False):
                theirs_default = inspect.signature(theirs).parameters[argument].default
                if ast.literal_eval(default) != theirs_default:
                    found.append(f"{name}: {argument} is {ast.unparse(default)}, and there {theirs_default}")
    return found
