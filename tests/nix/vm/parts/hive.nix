# The machine of every story: a manager and a worker, who play scripts.
{ pkgs, ... }:
{
  imports = [ ../../../../modules ];

  services.hyperhive = {
    enable = true;
    agents.queen = {
      role = "manager";
      driver.kind = "scripted";
      driver.script = ./queen.toml;
    };
    agents.alice = {
      driver.kind = "scripted";
      driver.script = ./worker.toml;
      address = "10.229.0.11";
    };
  };

  environment.systemPackages = [
    pkgs.curl
    pkgs.jq
  ];

  # Stories switch to other configurations, as an admin does.
  system.switch.enable = true;

  virtualisation = {
    cores = 2;
    memorySize = 3072;
    diskSize = 4096;
  };
}
