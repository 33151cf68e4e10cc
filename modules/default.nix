# services.hyperhive: a hive of AI coding agents, each in a container of its own. README.md says
# which file answers which question.
{
  imports = [
    ./assertions.nix
    ./containers.nix
    ./deploy.nix
    ./forge.nix
    ./network.nix
    ./options.nix
    ./polkit.nix
    ./renamed.nix
    ./service.nix
    ./spawned.nix
    ./storage.nix
  ];
}
