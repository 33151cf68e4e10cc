# What was said in `settings` before it had an option of its own, and still may be.
{ config, lib, ... }:
let
  inherit (lib)
    attrByPath
    filter
    hasAttrByPath
    mkDefault
    mkIf
    mkMerge
    setAttrByPath
    showOption
    ;

  cfg = config.services.hyperhive;

  same = path: {
    from = path;
    to = path;
  };

  moved =
    map same [
      [ "agents" ]
      [ "backups" ]
      [ "forge" ]
      [ "limits" ]
      [ "manager" ]
      [ "name" ]
      [ "quotas" ]
      [ "restart" ]
      [ "retention" ]
      [ "runDir" ]
      [ "stateDir" ]
      [
        "operator"
        "address"
      ]
      [
        "operator"
        "forgeAccount"
      ]
      [
        "operator"
        "hosts"
      ]
      [
        "operator"
        "port"
      ]
      [
        "operator"
        "webhook"
      ]
    ]
    ++ [
      {
        from = [
          "operator"
          "secretFile"
        ];
        to = [
          "operator"
          "passwordFile"
        ];
      }
    ];

  isUsed = { from, ... }: hasAttrByPath from cfg.settings;
  option =
    path:
    showOption (
      [
        "services"
        "hyperhive"
      ]
      ++ path
    );
in
{
  config = {
    warnings = map (
      { from, to }:
      "The option `${option ([ "settings" ] ++ from)}' has been renamed to `${option to}'."
    ) (filter isUsed moved);

    services.hyperhive = mkMerge (
      map (
        { from, to }@rename:
        setAttrByPath to (mkIf (isUsed rename) (mkDefault (attrByPath from { } cfg.settings)))
      ) moved
    );
  };
}
