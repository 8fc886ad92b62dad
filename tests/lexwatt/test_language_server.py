"""The language server, through the protocol, by a real client over standard input and output."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.client import LanguageClient

from lexwatt.textmate import HERE, textmate

TEXT = """pack desk "An author's desk"

instrument act "The Act"
  authority "Parliament"  zone Europe/London
  edition "1"
    link "https://example.org/act"

parameter ceiling : unit kW within 1 kW .. 9 kW default 5 kW
  cites act "s. 1"  evidence read  in force from 2020-01-01
  "the greatest power"

rule small "Small"
  cites act "s. 2"  evidence read  in force from 2020-01-01
  checked at command
  applies to each unit
  active_power must be at most ceiling
  example "at the limit"
    allows active_power 5 kW by 0 W
    refuses active_power 5.001 kW by 1 W
"""


class Author:
    """A client with one document open."""

    def __init__(self, client: LanguageClient, path: Path) -> None:
        self.client, self.uri, self.version = client, path.as_uri(), 0
        self.found: asyncio.Queue[lsp.PublishDiagnosticsParams] = asyncio.Queue()
        self.document = lsp.TextDocumentIdentifier(self.uri)

    async def opens(self, text: str) -> list[lsp.Diagnostic]:
        item = lsp.TextDocumentItem(self.uri, "lexwatt", 0, text)
        self.client.text_document_did_open(lsp.DidOpenTextDocumentParams(item))
        return await self.told()

    async def types(self, text: str) -> list[lsp.Diagnostic]:
        self.version += 1
        document = lsp.VersionedTextDocumentIdentifier(self.version, self.uri)
        change = lsp.TextDocumentContentChangeWholeDocument(text)
        self.client.text_document_did_change(lsp.DidChangeTextDocumentParams(document, [change]))
        return await self.told()

    async def told(self) -> list[lsp.Diagnostic]:
        while True:
            params = await asyncio.wait_for(self.found.get(), 30)
            if params.uri == self.uri:
                return list(params.diagnostics)

    def at(self, text: str, what: str, skip: int = 0) -> lsp.Position:
        """The place of a piece of text, a little inside it."""
        start = -1
        for _ in range(skip + 1):
            start = text.index(what, start + 1)
        return lsp.Position(text.count("\n", 0, start), start - text.rfind("\n", 0, start))


def with_author(tmp_path: Path, script: Callable[[Author], Awaitable[Any]]) -> None:
    """Runs a script of an author against a server of its own, which is ended in any case."""

    async def run() -> None:
        client = LanguageClient("test", "1")
        author = Author(client, tmp_path / "desk.rules")

        @client.feature(lsp.TEXT_DOCUMENT_PUBLISH_DIAGNOSTICS)
        def keep(params: lsp.PublishDiagnosticsParams) -> None:
            author.found.put_nowait(params)

        @client.feature(lsp.WINDOW_SHOW_MESSAGE)
        def hear(params: lsp.ShowMessageParams) -> None:
            pass

        await client.start_io(sys.executable, "-m", "lexwatt", "lsp")
        try:
            hello = lsp.InitializeParams(lsp.ClientCapabilities(), root_uri=tmp_path.as_uri())
            await asyncio.wait_for(client.initialize_async(hello), 60)
            client.initialized(lsp.InitializedParams())
            await asyncio.wait_for(script(author), 90)
            await asyncio.wait_for(client.shutdown_async(None), 30)
            client.exit(None)
        except BaseException:
            assert client._server is not None
            client._server.kill()
            raise
        finally:
            await asyncio.wait_for(client.stop(), 30)

    asyncio.run(run())


def test_findings_come_and_go_as_the_author_types(tmp_path: Path) -> None:
    async def script(author: Author) -> None:
        slips = TEXT.replace("at most ceiling", "at most cieling").replace("default 5 kW", "default 50 kW")
        found = await author.opens(slips)
        assert [(d.range.start.line, d.code) for d in found] == [(7, "range"), (15, "unknown")]
        assert "did you mean `ceiling`?" in found[1].message
        assert await author.types(TEXT) == []
        typed = TEXT.replace('rule small "Small"', 'rule small "💡💡" 5')
        (found_here,) = await author.types(typed)
        assert (found_here.range.start.line, found_here.range.start.character) == (11, 18), (
            "columns as editors count them"
        )
        broken = await author.types(TEXT.replace("must be", "must"))
        assert [d.code for d in broken] == ["syntax"]
        for garbage in ("", "\x00\x01", "rule " * 5000, "((((((" * 200, 'pack 💡 "\n', TEXT[:400], TEXT * 3):
            await author.types(garbage)
        assert await author.types(TEXT) == []

    with_author(tmp_path, script)


def test_meaning_names_and_places(tmp_path: Path) -> None:
    async def script(author: Author) -> None:
        await author.opens(TEXT)
        ask, document = author.client, author.document

        async def hover(what: str, skip: int = 0) -> str:
            found = await ask.text_document_hover_async(lsp.HoverParams(document, author.at(TEXT, what, skip)))
            assert found is not None
            assert isinstance(found.contents, lsp.MarkupContent)
            return found.contents.value

        assert "in force: the default, 5 kW" in await hover("ceiling\n")
        assert "The Act, s. 1" in await hover("ceiling\n")
        assert "active power in W, commanded, of each unit" in await hover("active_power")
        assert "positive means export" in await hover("active_power")
        assert "5 kW is active power: 5000 W" in await hover("5 kW by")
        assert "https://example.org/act" in await hover('act "s. 2"')
        assert "must be at most ceiling" in await hover('small "Small"')

        place = await ask.text_document_definition_async(lsp.DefinitionParams(document, author.at(TEXT, 'act "s. 2"')))
        assert isinstance(place, lsp.Location)
        assert (place.uri, place.range.start.line) == (author.uri, 2)
        place = await ask.text_document_definition_async(
            lsp.DefinitionParams(document, author.at(TEXT, "active_power must"))
        )
        assert isinstance(place, lsp.Location)
        assert place.uri.endswith("vocabulary.rules")

        typed = TEXT.replace("at most ceiling", "at most max_d")
        await author.types(typed)
        where = author.at(typed, "max_d")
        where.character += 4
        listed = await ask.text_document_completion_async(lsp.CompletionParams(document, where))
        assert isinstance(listed, list)
        labels = {item.label for item in listed}
        assert {"max_discharge_power", "ceiling", "sum", "max"} <= labels
        assert "checked" not in labels
        cites = author.at(typed, 'act "s. 1"')
        listed = await ask.text_document_completion_async(lsp.CompletionParams(document, cites))
        assert isinstance(listed, list)
        assert "act" in {item.label for item in listed}

    with_author(tmp_path, script)


def test_rename_layout_symbols_and_examples(tmp_path: Path) -> None:
    async def script(author: Author) -> None:
        await author.opens(TEXT)
        ask, document = author.client, author.document
        where = author.at(TEXT, "ceiling : unit")
        edit = await ask.text_document_rename_async(lsp.RenameParams(document, where, "power_limit"))
        assert edit is not None and edit.changes is not None
        # "at most ceiling": the keyword is not the parameter, but is spelt as it is, so both places are looked at
        lines = sorted((e.range.start.line, e.range.start.character) for e in edit.changes[author.uri])
        assert (7, 10) in lines
        assert await ask.text_document_rename_async(lsp.RenameParams(document, where, "must")) is None
        assert await ask.text_document_rename_async(lsp.RenameParams(document, where, "active_power")) is None
        assert await ask.text_document_rename_async(lsp.RenameParams(document, where, "2 x")) is None

        untidy = TEXT.replace("  active_power must", "      active_power   must")
        await author.types(untidy)
        options = lsp.FormattingOptions(2, True)
        edits = await ask.text_document_formatting_async(lsp.DocumentFormattingParams(document, options))
        assert edits is not None
        assert edits[0].new_text == TEXT
        await author.types(TEXT)

        found = await ask.text_document_document_symbol_async(lsp.DocumentSymbolParams(document))
        assert found is not None
        assert [s.name for s in found] == ["desk", "act", "ceiling", "small"]
        links = await ask.text_document_document_link_async(lsp.DocumentLinkParams(document))
        assert links is not None
        assert [link.target for link in links] == ["https://example.org/act"]

        lenses = await ask.text_document_code_lens_async(lsp.CodeLensParams(document))
        assert lenses is not None and lenses[0].command is not None
        command = lenses[0].command
        result = await ask.workspace_execute_command_async(lsp.ExecuteCommandParams(command.command, command.arguments))
        assert _field(result, "message") == "small: 2 of 2 expectations hold"
        assert await author.told() == []
        wrong = TEXT.replace("5.001 kW by 1 W", "5.001 kW by 2 W")
        await author.types(wrong)
        result = await ask.workspace_execute_command_async(lsp.ExecuteCommandParams(command.command, command.arguments))
        assert _field(result, "failed") == 1
        told = await author.told()
        assert [(d.code, d.range.start.line) for d in told] == [("example", 18)]
        assert "margin should be -2 W and is -1 W" in told[0].message

    with_author(tmp_path, script)


def _field(result: Any, name: str) -> Any:
    return result[name] if isinstance(result, dict) else getattr(result, name)


def test_the_extension_knows_every_word_of_the_grammar() -> None:
    assert HERE.read_text(encoding="utf-8") == textmate(), "out of date: make manual"
