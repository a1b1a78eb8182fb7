"""Runs graded tests in place, on modules from other files than those of the repository."""

import importlib.util
import sys
import unittest


def install(monkeypatch, path, *graded):
    """Have modules of graded tests find the module in a file under its name, for a test's time."""
    name = path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    for tests in graded:
        if hasattr(tests, name):
            monkeypatch.setattr(tests, name, module)
        for group in vars(tests).values():
            if (
                getattr(vars(group).get("module") if isinstance(group, type) else None, "__name__", "")
                == name
            ):
                monkeypatch.setattr(group, "module", module)


def cases_of(graded):
    """Yield the test cases of a module of graded tests."""
    for group in unittest.defaultTestLoader.loadTestsFromModule(graded):
        yield from group


def messages_of(test):
    """Run a test case, and return the messages of what fails."""
    result = unittest.TestResult()
    test.run(result)
    return [text for _, text in result.failures + result.errors]


def assert_named(bug, messages):
    """Check that one of the messages calls a mistake by its name; those behind it are not asked for."""
    seen = []
    for message in messages:
        seen.append(message)
        if bug in message:
            return
    raise AssertionError("\n\n".join([f"{len(seen)} tests fail, none says {bug!r}", *seen]))
