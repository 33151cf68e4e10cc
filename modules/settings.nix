# From options to what hive.json says. Pure: the same options give the same document.
#
# What an option leaves unset is left out, so that its default is written down once, in the server.
{ lib }:
cfg:
let
  inherit (lib)
    attrByPath
    collect
    concatStringsSep
    filter
    filterAttrs
    filterAttrsRecursive
    hasAttrByPath
    isAttrs
    mapAttrs
    mapAttrsRecursive
    recursiveUpdate
    ;

  secrets = import ./secrets.nix { inherit lib; } cfg;
  reached = import ./forge-address.nix { inherit lib; } cfg;

  isEmpty =
    value:
    builtins.elem value [
      null
      { }
    ];
  pruned =
    value:
    if isAttrs value then
      filterAttrs (_: inner: !isEmpty inner) (mapAttrs (_: pruned) value)
    else
      value;
  unlessEmpty = value: if value == [ ] || value == "" then null else value;

  agent = place: name: declared: {
    inherit (declared)
      role
      enable
      tools
      driverTools
      mayMessage
      quotas
      limits
      restart
      environment
      ;
    runtime = "nixos-container";
    description = unlessEmpty declared.description;
    systemPrompt = unlessEmpty declared.systemPrompt;
    driver = {
      inherit (declared.driver)
        kind
        model
        fallbackModel
        permissionPrompts
        turnLimitSeconds
        ;
      # Interpolated, so that a Nix path becomes a file of the store, which every container sees.
      script = if declared.driver.script == null then null else "${declared.driver.script}";
      command = unlessEmpty declared.driver.command;
      extraArgs = unlessEmpty declared.driver.extraArgs;
    };
    binds = unlessEmpty (
      map (bind: {
        inherit (bind) hostPath mountPoint isReadOnly;
      }) declared.binds
    );
    extraMcpServers = mapAttrs (_: server: {
      inherit (server) environment url;
      command = unlessEmpty server.command;
    }) declared.extraMcpServers;
    forge = {
      inherit (declared.forge) mayCreateRepositories;
      orgs = unlessEmpty declared.forge.orgs;
    };
    credentials = mapAttrs (credential: path: place "${name}.${credential}" path) declared.credentials;
  };

  forge = place: {
    inherit (cfg.forge) kind;
    inherit (reached) url;
    tokenFile =
      if reached.isOurForgejo then
        reached.token
      else if cfg.forge.tokenFile != null then
        place "forge" cfg.forge.tokenFile
      else
        null;
    orgs = mapAttrs (_: org: {
      description = unlessEmpty org.description;
      teams = mapAttrs (_: team: {
        inherit (team) permission;
        members = unlessEmpty team.members;
      }) org.teams;
    }) cfg.forge.orgs;
    docs = {
      inherit (cfg.forge.docs) org repository;
      # Interpolated, so that a Nix path becomes a file of the store.
      seedDirectory =
        if cfg.forge.docs.seedDirectory == null then null else "${cfg.forge.docs.seedDirectory}";
    };
  };

  documentWith =
    place:
    pruned {
      inherit (cfg)
        name
        manager
        restart
        quotas
        retention
        backups
        limits
        ;
      stateDir = toString cfg.stateDir;
      runDir = toString cfg.runDir;
      operator = {
        inherit (cfg.operator) address port forgeAccount;
        hosts = unlessEmpty cfg.operator.hosts;
        secretFile =
          if cfg.operator.passwordFile == null then null else place "operator" cfg.operator.passwordFile;
        webhook =
          if cfg.operator.webhook.urlFile == null then
            null
          else
            {
              inherit (cfg.operator.webhook) perMinute withText;
              urlFile = place "webhook" cfg.operator.webhook.urlFile;
            };
      };
      agents = mapAttrs (agent place) cfg.agents;
      spawned = {
        flake = if cfg.spawned.isPossible then "/etc/hyperhive/spawned" else null;
        credentials = mapAttrs (
          credential: path: place "spawned-agents.${credential}" path
        ) cfg.spawned.credentials;
      };
      forge = forge place;
    };

  typed = documentWith secrets.place;
  # As an admin writes it: secrets under the paths that they have on the host.
  written = documentWith (_: path: path);

  # Every path in `settings` that ends in something other than a table.
  leaves = collect builtins.isList (
    mapAttrsRecursive (path: _: path) (filterAttrsRecursive (_: value: value != { }) cfg.settings)
  );
in
{
  declaration = recursiveUpdate cfg.settings typed;

  # What `settings` says otherwise than an option does. The option wins; two answers are a mistake.
  conflicts = map (concatStringsSep ".") (
    filter (
      path:
      hasAttrByPath path written && attrByPath path null written != attrByPath path null cfg.settings
    ) leaves
  );
}
