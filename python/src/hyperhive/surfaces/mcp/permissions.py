"""The tool that a program, not its model, calls before it uses a tool that is not allowed."""

from typing import Any, Final

from pydantic import ConfigDict, Field

from hyperhive.services.permissions import Permissions
from hyperhive.surfaces.mcp.calls import Call
from hyperhive.surfaces.mcp.tool import Arguments, Tool

PERMISSION_PROMPT: Final = "permission_prompt"

WORDS: Final = """\
Your program calls this by itself when a tool needs the operator's permission. Do not call it: \
call the tool."""


class PermissionPrompt(Arguments):
    """Arguments of ``permission_prompt``, as Claude Code gives them; a later one may say more."""

    model_config = ConfigDict(extra="ignore", strict=True)

    tool_name: str = Field(
        pattern=r"^[A-Za-z0-9_.:/-]{1,150}$", description="The tool that is to be used."
    )
    input: dict[str, Any] = Field(
        default_factory=dict, description="The arguments with which it is to be used."
    )


def permission_tool(permissions: Permissions) -> Tool:
    """Give the tool; whom it is granted is the toolbox's to say."""

    async def ask(call: Call, given: PermissionPrompt) -> dict[str, Any]:
        refusal = await permissions.ask(
            call.actor, given.tool_name, given.input, caller=call.caller, key=call.key(None)
        )
        if refusal is None:
            return {"behavior": "allow", "updatedInput": given.input}
        if permissions.is_stopping:
            call.cut_short = True
        return {"behavior": "deny", "message": refusal}

    return Tool(PERMISSION_PROMPT, WORDS, PermissionPrompt, ask, is_text_only=True)
