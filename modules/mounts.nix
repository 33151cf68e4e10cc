# How systemd-nspawn shows the hive to an agent: the same paths for everyone. Pure.
#
# nixos-containers' own bindMounts cannot say `idmap`, without which nobody in a user namespace owns
# what is mounted. The number of the agent's user is the one of the host's `hyperhive`.
{ lib }:
cfg:
let
  inherit (lib) attrNames optional optionals;

  state = toString cfg.stateDir;
  run = toString cfg.runDir;

  bind =
    isReadOnly: hostPath: mountPoint:
    "--bind${if isReadOnly then "-ro" else ""}=${hostPath}:${mountPoint}:idmap";
  writable = bind false;
  readOnly = bind true;

  ofManager =
    name:
    [
      (readOnly "${state}/agents" "/agents")
      (readOnly "${state}/applied" "/applied")
      # The repositories that it proposes changes in. Below it everything is the manager's to exchange,
      # so nothing in there is ever mounted into another container.
      (writable "${state}/configs" "/configs")
    ]
    ++ optionals (cfg.manager.stateAccess == "read-write") (
      map (other: writable "${state}/agents/${other}/state" "/agents/${other}/state") (
        lib.remove name (attrNames cfg.agents)
      )
    );

  ofDriver =
    name: agent:
    optional (agent.credentials != { }) (
      readOnly "${run}/credentials/${name}" "/run/hyperhive/credentials"
    )
    ++ optional (agent.driver.script != null && !isInStore agent.driver.script) (
      readOnly "${agent.driver.script}" "${agent.driver.script}"
    );

  isInStore = path: lib.hasPrefix "${builtins.storeDir}/" "${path}";
in
rec {
  ofEveryone = name: [
    (writable "${state}/agents/${name}/state" "/agents/${name}/state")
    (writable "${state}/shared" "/shared")
    (readOnly "${state}/docs" "/docs")
    (writable "${state}/homes/${name}" "/home/agent")
    (readOnly "${run}/agents/${name}" "/run/hyperhive")
  ];

  # `pattern` is an agent with the credentials and the script that it has. What it runs from lies in its
  # system: the repository of the same content is the manager's to exchange.
  ofSpawned =
    name: system: pattern:
    ofEveryone name
    ++ [ (readOnly "${system}/etc/hyperhive/configuration" "/agents/${name}/config") ]
    ++ ofDriver name pattern;

  ofDeclared =
    name: agent:
    optionals (agent.role == "manager") (ofManager name)
    ++ ofEveryone name
    ++ ofDriver name agent
    ++ map (
      found: bind found.isReadOnly (toString found.hostPath) (toString found.mountPoint)
    ) agent.binds;

  # No setuid file and no file capability counts in the whole container.
  noPrivileges = "--no-new-privileges=yes";

  # The host's daemon socket is mounted into every container; this hides it.
  noDaemon = "--tmpfs=/nix/var/nix/daemon-socket:ro";
}
