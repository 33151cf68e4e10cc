{
  lib,
  buildPythonApplication,

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
}:
let
  inherit (lib.importTOML ../python/pyproject.toml) project;
in
buildPythonApplication {
  pname = project.name;
  inherit (project) version;
  pyproject = true;

  src = lib.cleanSource ../python;

  build-system = [ hatchling ];

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

  pythonImportsCheck = [
    "hyperhive.bootstrap"
    "hyperhive.harness"
  ];

  meta = {
    inherit (project) description;
    mainProgram = "hyperhive";
    platforms = lib.platforms.linux;
  };
}
