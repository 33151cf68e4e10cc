# What the server may ask systemd for: the containers of its agents, and their deployment. Nothing else.
#
# A prefix would not do: `container@h-x.mount` has it, too. Newer versions of systemd ask about a
# transient unit as about the start of one that exists, naming unit and verb; older ones name
# neither. So the rule cannot tell them apart. What can is systemd itself: it makes no transient unit
# of a name that has a unit file, and both templates give one to every name that the rule allows.
# assertions.nix sees to the template that is not ours.
{ config, lib, ... }:
let
  inherit (lib) mkIf optionalString;

  cfg = config.services.hyperhive;

  # Only where the template is there.
  deployment = optionalString cfg.spawned.isPossible ''
    if (/^hyperhive-deploy@[a-z][a-z0-9-]*\.service$/.test(unit)) {
          return verb === "start" ? polkit.Result.YES : polkit.Result.NO;
        }'';
in
{
  config = mkIf cfg.enable {
    security.polkit.enable = true;
    security.polkit.extraConfig = ''
      polkit.addRule(function (action, subject) {
        if (action.id !== "org.freedesktop.systemd1.manage-units" || subject.user !== "hyperhive") {
          return polkit.Result.NOT_HANDLED;
        }
        var unit = action.lookup("unit");
        var verb = action.lookup("verb");
        if (typeof unit !== "string" || typeof verb !== "string") {
          return polkit.Result.NO;
        }
        if (/^container@h-[a-z0-9-]+\.service$/.test(unit)) {
          return ["start", "stop", "restart"].indexOf(verb) >= 0 ? polkit.Result.YES : polkit.Result.NO;
        }
        ${deployment}
        return polkit.Result.NO;
      });
    '';
  };
}
