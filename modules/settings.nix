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
    optionalAttrs
    recursiveUpdate
    ;

  secrets = import ./secrets.nix { inherit lib; } cfg;

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
        inherit (cfg.operator) address port;
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
      spawned.flake = if cfg.spawned.isPossible then "/etc/hyperhive/spawned" else null;
    };

  typed = documentWith secrets.place;
  # As an admin writes it: secrets under the paths that they have on the host.
  written = documentWith (_: path: path);

  forgeToken = (cfg.settings.forge or { }).tokenFile or null;
  further = recursiveUpdate cfg.settings (
    optionalAttrs (builtins.isString forgeToken) {
      forge.tokenFile = secrets.place "forge" forgeToken;
    }
  );

  # Every path in `settings` that ends in something other than a table.
  leaves = collect builtins.isList (
    mapAttrsRecursive (path: _: path) (filterAttrsRecursive (_: value: value != { }) cfg.settings)
  );
in
{
  declaration = recursiveUpdate further typed;

  # What `settings` says otherwise than an option does. The option wins; two answers are a mistake.
  conflicts = map (concatStringsSep ".") (
    filter (
      path:
      hasAttrByPath path written && attrByPath path null written != attrByPath path null cfg.settings
    ) leaves
  );
}
