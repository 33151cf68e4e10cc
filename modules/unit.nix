# How the unit of an agent's container runs, whoever made the container. Pure.
{ lib }:
cfg: held:
let
  inherit (lib) optionalAttrs;
in
{
  unitConfig.RequiresMountsFor = [
    (toString cfg.stateDir)
    (toString cfg.runDir)
  ];
  serviceConfig = {
    # A crash is the server's to count: its back-off ends in a stop that the operator sees.
    Restart = "no";
    # The harness inside has 30 seconds; what then still runs is killed.
    TimeoutStopSec = 60;
  }
  // optionalAttrs (held.memory != null) { MemoryMax = held.memory; }
  # Whole percents, and never none.
  // optionalAttrs (held.cpu != null) {
    CPUQuota = "${toString (lib.max 1 (builtins.floor (held.cpu * 100)))}%";
  }
  // optionalAttrs (held.tasks != null) { TasksMax = held.tasks; };
}
