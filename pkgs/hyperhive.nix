{
  lib,
  buildPythonApplication,
  pkgs,
  python,

  # build-system
  hatchling,

  # dependencies
  alembic,
  click,
  h11,
  litestar,
  mcp,
  pydantic,
  sqlalchemy,
  sqlmodel,
  uvicorn,

  # programs that it starts
  bubblewrap,
  gitMinimal,
}:
let
  inherit (lib.importTOML ../python/pyproject.toml) project;

  hyperhive = buildPythonApplication {
    pname = project.name;
    inherit (project) version;
    pyproject = true;

    src = lib.cleanSource ../python;

    build-system = [ hatchling ];

    # The `dependencies` of pyproject.toml; tests/nix/test_packages.py keeps the two in step.
    dependencies = [
      alembic
      click
      h11
      litestar
      mcp
      pydantic
      sqlalchemy
      sqlmodel
      uvicorn
    ];

    # Behind what the machine has, so that an admin's choice of either wins.
    makeWrapperArgs = [
      "--suffix"
      "PATH"
      ":"
      (lib.makeBinPath [
        bubblewrap
        gitMinimal
      ])
    ];

    pythonImportsCheck = [
      "hyperhive.bootstrap"
      "hyperhive.harness"
    ];

    passthru.tests = import ./tests.nix { inherit hyperhive pkgs python; };

    meta = {
      inherit (project) description;
      mainProgram = "hyperhive";
      platforms = lib.platforms.linux;
    };
  };
in
hyperhive
