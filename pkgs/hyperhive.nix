# The program, in a Python of its own: the server and the harness start further ones as
# `sys.executable -m …`, so the interpreter itself must find the packages, not a wrapped script alone.
{
  lib,
  buildPythonPackage,
  makeWrapper,
  pkgs,
  python,
  runCommand,

  # build-system
  hatchling,

  # dependencies
  alembic,
  apscheduler,
  click,
  h11,
  litestar,
  mcp,
  py-gitea,
  pydantic,
  requests,
  sqlalchemy,
  sqlmodel,
  uvicorn,

  # programs that it starts
  bubblewrap,
  gitMinimal,
}:
let
  inherit (lib.importTOML ../python/pyproject.toml) project;

  module = buildPythonPackage {
    pname = project.name;
    inherit (project) version;
    pyproject = true;

    src = lib.cleanSource ../python;

    build-system = [ hatchling ];

    # The `dependencies` of pyproject.toml; tests/nix/test_packages.py keeps the two in step.
    dependencies = [
      alembic
      apscheduler
      click
      h11
      litestar
      mcp
      py-gitea
      pydantic
      requests
      sqlalchemy
      sqlmodel
      uvicorn
    ];

    pythonImportsCheck = [
      "hyperhive.bootstrap"
      "hyperhive.harness"
    ];

    meta = {
      inherit (project) description;
      platforms = lib.platforms.linux;
    };
  };

  # Behind what the machine has, so that an admin's choice of either wins.
  programs = lib.makeBinPath [
    bubblewrap
    gitMinimal
  ];

  # The command line of a build of the module, this one or a changed one.
  programOf =
    module:
    runCommand "${project.name}-${project.version}"
      {
        pname = project.name;
        inherit (project) version;
        nativeBuildInputs = [ makeWrapper ];
        passthru = {
          inherit module programOf;
          tests = import ./tests.nix { inherit module pkgs python; };
        };
        meta = module.meta // {
          mainProgram = "hyperhive";
        };
      }
      ''
        makeWrapper ${python.withPackages (_: [ module ])}/bin/hyperhive $out/bin/hyperhive \
          --suffix PATH : ${programs}
      '';
in
programOf module
