# What cannot work together, found while evaluating, each with what to set instead.
{ config, lib, ... }:
let
  inherit (lib)
    any
    attrNames
    concatLists
    concatStringsSep
    elem
    filter
    filterAttrs
    hasPrefix
    mapAttrsToList
    mkIf
    optional
    optionals
    removePrefix
    versionAtLeast
    ;

  cfg = config.services.hyperhive;
  names = import ./names.nix { inherit lib; };
  addresses = import ./addresses.nix { inherit lib; };
  secrets = import ./secrets.nix { inherit lib; } cfg;
  inherit (import ./settings.nix { inherit lib; } cfg) conflicts;

  option = path: "services.hyperhive.${path}";
  ofAgent = name: path: option "agents.${name}.${path}";
  listed = concatStringsSep ", ";

  state = toString cfg.stateDir;
  run = toString cfg.runDir;

  enabled = filterAttrs (_: agent: agent.enable) cfg.agents;
  private = filterAttrs (_: agent: agent.network == "private") enabled;
  managers = attrNames (filterAttrs (_: agent: agent.role == "manager") cfg.agents);

  fails = message: {
    assertion = false;
    inherit message;
  };
  failsIf = condition: message: {
    assertion = !condition;
    inherit message;
  };

  ofHive = [
    (failsIf (managers == [ ]) ''
      No agent is the manager of the hive. Set ${ofAgent "<name>" "role"} = "manager" for one of: ${listed (attrNames cfg.agents)}.
    '')
    (failsIf (builtins.length managers > 1) ''
      A hive has one manager, and ${listed managers} are to be it. Set ${ofAgent "<name>" "role"} = "worker" for all but one of them.
    '')
    (failsIf (!config.boot.enableContainers) ''
      The hive's agents run in containers. Set boot.enableContainers = true: without it the unit container@ does not
      exist, and the rule that lets the server start containers would let it make up units of that name.
    '')
    (failsIf (!versionAtLeast config.system.stateVersion "22.05") ''
      With system.stateVersion = "${config.system.stateVersion}" NixOS keeps the settings of containers where the hive's
      server does not look. Move what depends on the old version, and set system.stateVersion to "22.05" or later.
    '')
    (failsIf (!versionAtLeast config.boot.kernelPackages.kernel.version "6.3") ''
      The kernel is ${config.boot.kernelPackages.kernel.version}; the sockets of the agents are mounted with mapped
      users, which takes 6.3 or later on a file system in memory. Set boot.kernelPackages to a later one.
    '')
  ]
  ++ map (
    path:
    fails ''
      ${option "settings.${path}"} says otherwise than ${option path}, which wins. Remove the one in
      settings.
    ''
  ) conflicts
  ++
    map
      (
        container:
        fails ''
          The container ${container} bears a name that the hive's server may start and stop. Rename it, or declare
          ${option "agents.${removePrefix "h-" container}"}.
        ''
      )
      (
        filter (name: hasPrefix "h-" name && !(enabled ? ${removePrefix "h-" name})) (
          attrNames config.containers
        )
      );

  others = filterAttrs (
    name: user: name != "hyperhive" && (user.uid or null) == cfg.uid
  ) config.users.users;
  otherGroups = filterAttrs (
    name: group: name != "hyperhive" && (group.gid or null) == cfg.uid
  ) config.users.groups;

  ofUsers =
    map (
      name:
      fails ''
        The user ${name} has the number ${toString cfg.uid}, which is the hive's in every container.
        Set ${option "uid"} to one that is free.
      ''
    ) (attrNames others)
    ++ map (
      name:
      fails ''
        The group ${name} has the number ${toString cfg.uid}, which is the hive's in every container.
        Set ${option "uid"} to one that is free.
      ''
    ) (attrNames otherGroups);

  ofName =
    name: _:
    let
      fault = names.fault name;
    in
    optional (fault != null) (fails ''
      The agent ${builtins.toJSON name} cannot bear that name: ${fault}. Rename
      ${ofAgent (builtins.toJSON name) "*"}, for example to "alice".
    '');

  ofDriver =
    name: agent:
    let
      inherit (agent) driver;
    in
    optional (driver.kind == "scripted" && driver.script == null) (
      fails "The agent ${name} plays a script and has none. Set ${ofAgent name "driver.script"}."
    )
    ++ optional (driver.kind != "scripted" && driver.script != null) (fails ''
      The agent ${name} has a script that its driver ${driver.kind} does not play. Remove
      ${ofAgent name "driver.script"}, or set ${ofAgent name "driver.kind"} = "scripted".
    '')
    ++ optional (driver.kind == "command" && driver.command == [ ]) (
      fails "The agent ${name} runs a command and has none. Set ${ofAgent name "driver.command"}."
    )
    ++
      optional
        (driver.kind == "claude" && driver.package == null && driver.command == [ ] && !cfg.allowUnfree)
        (fails ''
          The agent ${name} needs Claude Code, which is unfree. Set ${option "allowUnfree"} = true,
          or ${ofAgent name "driver.package"} to a package of your own.
        '');

  # nixos-containers splits the flags at blanks, systemd-nspawn at colons.
  isPlain = path: builtins.match "/[A-Za-z0-9._/@+,=-]*" (toString path) != null;

  ofPaths =
    name: agent:
    concatLists (
      map (
        bind:
        map
          (
            path:
            fails ''
              The path ${builtins.toJSON (toString path)} in ${ofAgent name "binds"} cannot be mounted
              into a container: use letters, digits and . _ / @ + , = - only.
            ''
          )
          (
            filter (path: !isPlain path) [
              bind.hostPath
              bind.mountPoint
            ]
          )
      ) agent.binds
    )
    ++ optional (agent.driver.script != null && !isPlain agent.driver.script) (fails ''
      The path in ${ofAgent name "driver.script"} cannot be mounted into a container: use letters,
      digits and . _ / @ + , = - only.
    '');

  isSubnet = addresses.isSubnet cfg.network.subnet;
  addressOf =
    name: agent:
    if agent.address != null then agent.address else addresses.derive cfg.network.subnet name;
  isGoodAddress =
    address: addresses.isAddress address && addresses.isWithin cfg.network.subnet address;

  ofAddress =
    name: agent:
    optional (agent.address != null && !isGoodAddress agent.address) (fails ''
      ${ofAgent name "address"} is ${agent.address}, which is no address for a container. Set it to
      one within ${cfg.network.subnet} other than the host's ${addresses.hostOf cfg.network.subnet}.
    '')
    ++
      map
        (
          other:
          fails ''
            The agents ${name} and ${other} both have the address ${addressOf name agent}. Set
            ${ofAgent other "address"} to another one within ${cfg.network.subnet}.
          ''
        )
        (
          filter (other: name < other && addressOf name agent == addressOf other private.${other}) (
            attrNames private
          )
        );

  ofNetwork =
    optional (!isSubnet) (fails ''
      ${option "network.subnet"} is ${cfg.network.subnet}, which is no IPv4 network for containers.
      Set it to one such as 10.229.0.0/16, with 8 to 30 bits.
    '')
    ++ optionals isSubnet (concatLists (mapAttrsToList ofAddress private))
    ++ [
      (failsIf (private != { } && !config.networking.firewall.enable) ''
        The firewall is what keeps the agents from the host's ports. Set networking.firewall.enable = true, or
        ${ofAgent "<name>" "network"} = "none" for: ${listed (attrNames private)}.
      '')
      (failsIf (private == { } && cfg.spawned.hasPrivateNetwork && !config.networking.firewall.enable) ''
        The firewall is what keeps agents that come at run time from the host's ports. Set
        networking.firewall.enable = true, or ${option "spawned.enable"} = false.
      '')
      (failsIf (elem cfg.operator.port cfg.network.hostTCPPorts) ''
        ${option "network.hostTCPPorts"} opens the operator's port ${toString cfg.operator.port} to the agents, who could then
        try to log in. Remove it there.
      '')
    ];

  mayBuild = config.nix.settings.allowed-users or [ "*" ];

  ofSpawned = optionals cfg.spawned.isPossible [
    (failsIf (!config.nix.enable) ''
      The server has the host's Nix build the systems of spawned agents, and there is none. Set nix.enable = true, or
      ${option "spawned.enable"} = false.
    '')
    (failsIf
      (
        lib.intersectLists mayBuild [
          "*"
          "hyperhive"
          "@hyperhive"
        ] == [ ]
      )
      ''
        The server has Nix build the systems of spawned agents, and may not ask it. Add "hyperhive" to
        nix.settings.allowed-users, or set ${option "spawned.enable"} = false.
      ''
    )
  ];

  # Neither maps users of a mount, and a database in WAL mode must not lie on a network.
  remote = [
    "9p"
    "cifs"
    "nfs"
    "nfs4"
    "smb3"
    "virtiofs"
  ];
  mounted = config.fileSystems.${state} or null;

  # The file system that holds it: the deepest of those that are mounted above it.
  above = filter (place: place == "/" || place == state || hasPrefix "${place}/" state) (
    attrNames config.fileSystems
  );
  deepest = lib.foldl' (
    one: other: if lib.stringLength other > lib.stringLength one then other else one
  ) "" above;
  fsType = if above == [ ] then "auto" else config.fileSystems.${deepest}.fsType;

  ofStorage =
    optional (mounted != null) (
      failsIf (!elem "nosuid" mounted.options) ''
        ${state} is a file system of its own that honours setuid, and agents write there. Add "nosuid" to
        fileSystems.${builtins.toJSON state}.options.
      ''
    )
    ++ [
      (failsIf (elem fsType remote || hasPrefix "fuse" fsType) ''
        ${state} is on a file system of the type ${fsType}, which can neither map users nor hold the database. Set
        ${option "stateDir"} to a directory on a local one.
      '')
    ]
    ++
      map
        (
          path:
          fails ''
            The path ${builtins.toJSON path} cannot be mounted into a container. Set
            ${option "stateDir"} and ${option "runDir"} to paths of letters, digits and . _ / @ + , =
            - only.
          ''
        )
        (
          filter (path: !isPlain path) [
            state
            run
          ]
        );

  shared = filter (path: builtins.length (filter (secret: secret.path == path) secrets.all) > 1) (
    lib.unique (map (secret: secret.path) secrets.all)
  );

  isLoopback =
    address:
    elem address [
      "::1"
      "localhost"
    ]
    || hasPrefix "127." address;

  # systemd-resolved puts its own address into the resolv.conf that containers get a copy of.
  hasLoopbackResolver =
    if cfg.network.nameservers == [ ] then
      config.services.resolved.enable or false
    else
      any isLoopback cfg.network.nameservers;
in
{
  config = mkIf cfg.enable {
    assertions =
      ofHive
      ++ ofUsers
      ++ ofNetwork
      ++ ofSpawned
      ++ ofStorage
      ++ concatLists (
        mapAttrsToList (
          name: agent: ofName name agent ++ ofDriver name agent ++ ofPaths name agent
        ) cfg.agents
      );

    warnings =
      optional (cfg.operator.openFirewall && isLoopback cfg.operator.address) ''
        ${option "operator.openFirewall"} opens port ${toString cfg.operator.port}, but the page
        listens on ${cfg.operator.address} only. Set ${option "operator.address"}, or put a proxy
        before it.
      ''
      ++ mapAttrsToList (name: _: ''
        The agent ${name} shares the host's network and reaches everything that listens on its
        loopback, the operator's page included. Set ${ofAgent name "network"} = "private" to shut
        it out.
      '') (filterAttrs (_: agent: agent.network == "host") enabled)
      ++ map (path: ''
        The secret ${path} is given to more than one. A login that two agents share logs one of
        them out: give each its own.
      '') shared
      ++ optional ((private != { } || cfg.spawned.hasPrivateNetwork) && hasLoopbackResolver) ''
        The agents' name servers are the host's own loopback, where they find none. Set
        ${option "network.nameservers"}.
      '';
  };
}
