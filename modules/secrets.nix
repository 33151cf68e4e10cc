# Which files are secrets, and where the server finds each. Pure: paths alone, never their contents.
#
# systemd hands the server a copy (LoadCredential), so that a secret can belong to root. A file below
# stateDir is the hive's own: it is read in place, and `hyperhive login` can replace it.
{ lib }:
cfg:
let
  inherit (lib)
    concatLists
    filter
    hasPrefix
    mapAttrsToList
    optional
    ;

  directory = "/run/credentials/hyperhive.service";
  isOurs = path: hasPrefix "${toString cfg.stateDir}/" path;

  all =
    optional (cfg.operator.passwordFile != null) {
      id = "operator";
      path = cfg.operator.passwordFile;
    }
    ++ optional (cfg.operator.webhook.urlFile != null) {
      id = "webhook";
      path = cfg.operator.webhook.urlFile;
    }
    ++ optional (cfg.forge.tokenFile != null) {
      id = "forge";
      path = cfg.forge.tokenFile;
    }
    # No agent's name is that long.
    ++ mapAttrsToList (credential: path: {
      id = "spawned-agents.${credential}";
      inherit path;
    }) cfg.spawned.credentials
    ++ concatLists (
      mapAttrsToList (
        name: agent:
        mapAttrsToList (credential: path: {
          id = "${name}.${credential}";
          inherit path;
        }) agent.credentials
      ) cfg.agents
    );

  handed = filter (secret: !isOurs secret.path) all;
in
{
  inherit all;

  place = id: path: if isOurs path then path else "${directory}/${id}";

  # A file that is missing must not keep the hive down: the server then gets an empty line, with which
  # nobody can log in.
  serviceConfig = {
    LoadCredential = map (secret: "${secret.id}:${secret.path}") handed;
    SetCredential = map (secret: "${secret.id}:\\n") handed;
  };
}
