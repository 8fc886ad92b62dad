"""A language server for rule files, over standard input and output: `lexwatt lsp`.

Findings while typing, meaning under the pointer, names that fit, go to declaration, rename, layout, and examples at
a click."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lsprotocol import types as lsp
from pygls.lsp.server import LanguageServer
from pygls.uris import from_fs_path, to_fs_path
from pygls.workspace import ServerTextPosition, ServerTextRange

from lexwatt import editing
from rules_dsl import tree as t
from rules_dsl.diagnostics import Diagnostic, RulesError
from rules_dsl.format import format_text
from rules_dsl.parse import parse_all

RUN = "lexwatt.runExamples"


class Server(LanguageServer):
    """The server with the desk it works at."""

    def __init__(self) -> None:
        super().__init__("lexwatt", "0.1", text_document_sync_kind=lsp.TextDocumentSyncKind.Full)
        self.desk = editing.Desk()

    def path(self, uri: str) -> str:
        """The file of a document; a document without one stands beside nothing."""
        return to_fs_path(uri) or uri

    def text(self, uri: str) -> str:
        """The editor's text of a document."""
        return self.workspace.get_text_document(uri).source

    def place(self, uri: str, line: int, start: int, end_line: int, end: int) -> lsp.Range:
        """A stretch, in 0-based lines and characters, as the editor counts columns."""
        first, last = ServerTextPosition(max(0, line), max(0, start)), ServerTextPosition(max(0, end_line), max(0, end))
        return self.workspace.get_text_document(uri).range_to_client_units(ServerTextRange(first, last))

    def span(self, uri: str, span: t.Span) -> lsp.Range:
        """The place of a node as the editor counts columns."""
        return self.place(uri, span.line - 1, span.column - 1, span.end_line - 1, span.end_column - 1)

    def at(self, uri: str, position: lsp.Position) -> ServerTextPosition:
        """A place of the editor's, in characters."""
        return self.workspace.get_text_document(uri).position_from_client_units(position)

    def publish(self, uri: str, more: list[Diagnostic] | None = None) -> None:
        """Sends what is found in a document, and in the other open documents of its program."""
        path = self.path(uri)
        reading = self.desk.read(path)
        for name in {path, *(n for n in self.desk.open if n in reading.sources)}:
            found = [d for d in (*reading.findings, *(more or ())) if d.span.file == name]
            place = _uri(name)
            params = lsp.PublishDiagnosticsParams(place, [_diagnostic(self.span(place, d.span), d) for d in found])
            self.text_document_publish_diagnostics(params)


server = Server()


def _uri(path: str) -> str:
    return from_fs_path(path) or path if Path(path).is_absolute() else path


def _diagnostic(place: lsp.Range, found: Diagnostic) -> lsp.Diagnostic:
    parts = [found.message, found.clause and f"clause: {found.clause}", found.hint and f"hint: {found.hint}"]
    text = "\n".join(part for part in parts if part)
    return lsp.Diagnostic(place, text, lsp.DiagnosticSeverity.Error, found.code, source="lexwatt")


@server.feature(lsp.TEXT_DOCUMENT_DID_OPEN)
def did_open(ls: Server, params: lsp.DidOpenTextDocumentParams) -> None:
    """A document is on the desk."""
    ls.desk.open[ls.path(params.text_document.uri)] = params.text_document.text
    ls.publish(params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_DID_CHANGE)
def did_change(ls: Server, params: lsp.DidChangeTextDocumentParams) -> None:
    """A document was typed in."""
    ls.desk.open[ls.path(params.text_document.uri)] = ls.text(params.text_document.uri)
    ls.publish(params.text_document.uri)


@server.feature(lsp.TEXT_DOCUMENT_DID_CLOSE)
def did_close(ls: Server, params: lsp.DidCloseTextDocumentParams) -> None:
    """A document has left the desk; its findings go with it."""
    ls.desk.open.pop(ls.path(params.text_document.uri), None)
    ls.text_document_publish_diagnostics(lsp.PublishDiagnosticsParams(params.text_document.uri, []))


@server.feature(lsp.TEXT_DOCUMENT_HOVER)
def hover(ls: Server, params: lsp.HoverParams) -> lsp.Hover | None:
    """What the symbol under the pointer means."""
    uri = params.text_document.uri
    at = ls.at(uri, params.position)
    found = editing.symbol(ls.text(uri), at.line, at.character)
    if found is None:
        return None
    text = editing.meaning(ls.desk.read(ls.path(uri)), found[0])
    if not text:
        return None
    place = ls.place(uri, at.line, found[1], at.line, found[2])
    return lsp.Hover(lsp.MarkupContent(lsp.MarkupKind.Markdown, text), place)


@server.feature(lsp.TEXT_DOCUMENT_COMPLETION, lsp.CompletionOptions(trigger_characters=[" "]))
def completion(ls: Server, params: lsp.CompletionParams) -> list[lsp.CompletionItem]:
    """Words and names that may stand here."""
    uri = params.text_document.uri
    at = ls.at(uri, params.position)
    reading = ls.desk.read(ls.path(uri))
    kinds = {"word": lsp.CompletionItemKind.Keyword, "curve": lsp.CompletionItemKind.Function}
    return [
        lsp.CompletionItem(word, kind=kinds.get(what, lsp.CompletionItemKind.Variable), detail=what)
        for word, what in editing.completions(reading, ls.text(uri), at.line, at.character)
    ]


@server.feature(lsp.TEXT_DOCUMENT_DEFINITION)
def definition(ls: Server, params: lsp.DefinitionParams) -> lsp.Location | None:
    """Where the symbol is declared: a name, a rule, the instrument that is cited."""
    uri = params.text_document.uri
    at = ls.at(uri, params.position)
    found = editing.symbol(ls.text(uri), at.line, at.character)
    node = editing.declaration(ls.desk.read(ls.path(uri)).program, found[0]) if found else None
    return lsp.Location(_uri(node.span.file), ls.span(_uri(node.span.file), node.span)) if node is not None else None


@server.feature(lsp.TEXT_DOCUMENT_REFERENCES)
def references(ls: Server, params: lsp.ReferenceParams) -> list[lsp.Location]:
    """Every use of the name."""
    uri = params.text_document.uri
    at = ls.at(uri, params.position)
    found = editing.symbol(ls.text(uri), at.line, at.character)
    if found is None:
        return []
    sources = ls.desk.read(ls.path(uri)).sources
    return [
        lsp.Location(_uri(file), ls.place(_uri(file), line, start, line, start + len(found[0])))
        for file, line, start in editing.uses(sources, found[0])
    ]


@server.feature(lsp.TEXT_DOCUMENT_RENAME)
def rename(ls: Server, params: lsp.RenameParams) -> lsp.WorkspaceEdit | None:
    """The edits that give a declared name another; none for a word of the language or a name that is taken."""
    uri, new = params.text_document.uri, params.new_name
    at = ls.at(uri, params.position)
    reading = ls.desk.read(ls.path(uri))
    found = editing.symbol(ls.text(uri), at.line, at.character)
    if found is None or editing.declaration(reading.program, found[0]) is None:
        return None
    taken = new in editing.keywords() or editing.declaration(reading.program, new) is not None
    if taken or not editing.NAME.fullmatch(new):
        return None
    changes: dict[str, list[lsp.TextEdit]] = {}
    for file, line, start in editing.uses(reading.sources, found[0]):
        place = ls.place(_uri(file), line, start, line, start + len(found[0]))
        changes.setdefault(_uri(file), []).append(lsp.TextEdit(place, new))
    return lsp.WorkspaceEdit(changes)


@server.feature(lsp.TEXT_DOCUMENT_FORMATTING)
def formatting(ls: Server, params: lsp.DocumentFormattingParams) -> list[lsp.TextEdit] | None:
    """The document in its one layout; nothing while it does not follow the grammar."""
    text = ls.text(params.text_document.uri)
    try:
        laid_out = format_text(text)
    except RulesError:
        return None
    end = lsp.Position(len(text.splitlines()) + 1, 0)
    return [lsp.TextEdit(lsp.Range(lsp.Position(0, 0), end), laid_out)] if laid_out != text else []


@server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_SYMBOL)
def symbols(ls: Server, params: lsp.DocumentSymbolParams) -> list[lsp.DocumentSymbol]:
    """The statements of the document by name."""
    uri = params.text_document.uri
    statements, _ = parse_all(ls.text(uri), ls.path(uri))
    kinds = {t.Rule: lsp.SymbolKind.Method, t.Curve: lsp.SymbolKind.Function, t.Table: lsp.SymbolKind.Function}
    return [
        lsp.DocumentSymbol(name, kinds.get(type(s), lsp.SymbolKind.Variable), place, place)
        for s in statements
        if (name := getattr(s, "name", "")) and (place := ls.span(uri, s.span))
    ]


@server.feature(lsp.TEXT_DOCUMENT_DOCUMENT_LINK)
def links(ls: Server, params: lsp.DocumentLinkParams) -> list[lsp.DocumentLink]:
    """The addresses of instruments, to be opened at a click."""
    found = []
    for number, line in enumerate(ls.text(params.text_document.uri).splitlines()):
        start = line.find('"http')
        if start >= 0 and "link" in line[:start]:
            end = line.find('"', start + 1)
            place = ls.place(params.text_document.uri, number, start + 1, number, end)
            found.append(lsp.DocumentLink(place, line[start + 1 : end]))
    return found


@server.feature(lsp.TEXT_DOCUMENT_CODE_LENS)
def lenses(ls: Server, params: lsp.CodeLensParams) -> list[lsp.CodeLens]:
    """ "Run examples" above each rule."""
    uri = params.text_document.uri
    statements, _ = parse_all(ls.text(uri), ls.path(uri))
    return [
        lsp.CodeLens(ls.span(uri, s.span), lsp.Command("run examples", RUN, arguments=[uri, s.name]))
        for s in statements
        if isinstance(s, t.Rule)
    ]


@server.command(RUN)
def run_examples(ls: Server, uri: str, rule: str) -> dict[str, Any]:
    """Runs a rule's examples; those that do not hold become findings."""
    reading = ls.desk.read(ls.path(uri))
    if reading.findings:
        message = f"{rule}: {len(reading.findings)} finding(s) stand in the way"
        ls.window_show_message(lsp.ShowMessageParams(lsp.MessageType.Warning, message))
        return {"rule": rule, "expectations": 0, "failed": 0, "message": message}
    count, wrong = editing.run_examples(reading, rule)
    message = f"{rule}: {count - len(wrong)} of {count} expectations hold"
    kind = lsp.MessageType.Warning if wrong else lsp.MessageType.Info
    ls.window_show_message(lsp.ShowMessageParams(kind, message))
    ls.publish(uri, wrong)
    return {"rule": rule, "expectations": count, "failed": len(wrong), "message": message}


def main() -> None:
    """Serves one editor until it says good-bye."""
    server.start_io()
