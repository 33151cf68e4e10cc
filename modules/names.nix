# Which names an agent may bear, and what is called after it. Pure; the server has the same rules.
{ lib }:
let
  inherit (lib) hasInfix hasSuffix stringLength;

  recipients = [
    "operator"
    "manager"
  ];
  senders = [
    "system"
    "reminder"
  ];
  forge = [
    "admin"
    "api"
    "assets"
    "attachments"
    "avatar"
    "avatars"
    "captcha"
    "commits"
    "debug"
    "devtest"
    "error"
    "explore"
    "favicon"
    "ghost"
    "issues"
    "login"
    "metrics"
    "milestones"
    "new"
    "notifications"
    "org"
    "pulls"
    "raw"
    "repo"
    "search"
    "ssh-info"
    "stars"
    "swagger"
    "template"
    "user"
  ];
in
rec {
  reserved = recipients ++ senders ++ forge;

  # Why a name cannot be an agent's; null if it can. The length is what a container's interface bears.
  fault =
    name:
    if stringLength name < 2 || stringLength name > 11 then
      "a name has 2 to 11 characters, because its container's network interface is named after it"
    else if builtins.match "[a-z][a-z0-9-]*" name == null then
      "a name is lower-case letters, digits and hyphens, beginning with a letter"
    else if hasSuffix "-" name || hasInfix "--" name then
      "a name has no trailing and no double hyphen"
    else if builtins.elem name reserved then
      "the name is reserved"
    else
      null;

  container = name: "h-${name}";
  unit = name: "container@h-${name}";
}
