# The text of systemd's units: as NixOS has rendered them, or rendered here by the same rules.
{ lib, plain }:
let
  inherit (lib)
    concatLists
    concatMapAttrs
    concatStringsSep
    filterAttrs
    mapAttrsToList
    optionalAttrs
    optionalString
    ;

  kinds = {
    services = "service";
    slices = "slice";
    sockets = "socket";
    targets = "target";
    timers = "timer";
    paths = "path";
  };

  capital = word: lib.toUpper (builtins.substring 0 1 word) + builtins.substring 1 (-1) word;

  word =
    value:
    if value == true then
      "true"
    else if value == false then
      "false"
    else
      toString (plain value);

  lines =
    section:
    concatLists (
      mapAttrsToList (key: value: map (one: "${key}=${word one}") (lib.toList value)) (
        filterAttrs (_: value: value != null) section
      )
    );

  section =
    name: entries:
    optionalString (entries != { }) "[${name}]\n${concatStringsSep "\n" (lines entries)}\n\n";

  # Options of a unit that are keys of [Unit] under another name.
  named =
    unit:
    concatMapAttrs
      (
        option: key:
        optionalAttrs ((unit.${option} or [ ]) != [ ]) {
          ${key} = concatStringsSep " " (map word (lib.toList unit.${option}));
        }
      )
      {
        after = "After";
        before = "Before";
        bindsTo = "BindsTo";
        conflicts = "Conflicts";
        documentation = "Documentation";
        onFailure = "OnFailure";
        onSuccess = "OnSuccess";
        partOf = "PartOf";
        requires = "Requires";
        requisite = "Requisite";
        upholds = "Upholds";
        wants = "Wants";
        reloadTriggers = "X-Reload-Triggers";
        restartTriggers = "X-Restart-Triggers";
      }
    // optionalAttrs ((unit.description or "") != "") { Description = unit.description; }
    // optionalAttrs (!(unit.restartIfChanged or true)) { X-RestartIfChanged = false; }
    // optionalAttrs (!(unit.stopIfChanged or true)) { X-StopIfChanged = false; }
    // optionalAttrs (unit.reloadIfChanged or false) { X-ReloadIfChanged = true; };

  environment =
    unit:
    let
      set = filterAttrs (_: value: value != null) (unit.environment or { });
    in
    optionalAttrs (set != { }) {
      Environment = mapAttrsToList (name: value: builtins.toJSON "${name}=${word value}") set;
    };

  unit = kind: entry: {
    text =
      section "Unit" (named entry // (entry.unitConfig or { }))
      + section (capital kind) (
        optionalAttrs (kind == "service") (environment entry) // (entry."${kind}Config" or { })
      );
    wantedBy = entry.wantedBy or [ ];
    requiredBy = entry.requiredBy or [ ];
  };
in
{
  rendered =
    config:
    builtins.mapAttrs (_: entry: {
      text = plain entry.text;
      inherit (entry) wantedBy requiredBy;
    }) (filterAttrs (_: entry: entry.enable && entry.text != null) config.systemd.units);

  render =
    config:
    concatMapAttrs (
      plural: kind:
      lib.mapAttrs' (name: entry: {
        name = "${name}.${kind}";
        value = unit kind entry;
      }) (filterAttrs (_: entry: entry.enable or true) (config.systemd.${plural} or { }))
    ) kinds;
}
