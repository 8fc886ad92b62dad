"use strict";

const vscode = require("vscode");
const { LanguageClient } = require("vscode-languageclient/node");

let client;

/** Starts the language server named in the settings and connects the editor to it. */
function activate(context) {
  const [command, ...args] = vscode.workspace.getConfiguration("lexwatt").get("command");
  const server = { command, args };
  const options = { documentSelector: [{ scheme: "file", language: "lexwatt" }] };
  client = new LanguageClient("lexwatt", "Lexwatt rules", server, options);
  context.subscriptions.push(client);
  return client.start();
}

function deactivate() {
  return client ? client.stop() : undefined;
}

module.exports = { activate, deactivate };
