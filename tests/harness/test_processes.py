import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hyperhive.harness.drivers.processes import (
    Line,
    LineReader,
    Patience,
    describe_exit,
    run_program,
)
from tests.pace import on_this_machine

pytestmark = pytest.mark.anyio


class Output:
    """What a program wrote, as lines."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.errors: list[Line] = []

    async def run(
        self, *argv: str, stdin: bytes = b"", patience: Patience | None = None, at: Path = Path("/")
    ) -> int:
        return await run_program(
            argv,
            directory=at,
            environment=os.environ,
            stdin=stdin,
            stdout=LineReader(self.lines.append),
            stderr=LineReader(self.errors.append),
            patience=patience,
        )

    @property
    def texts(self) -> list[str]:
        return [line.text for line in self.lines]

    async def until(self, text: str) -> None:
        async with asyncio.timeout(8):
            while text not in self.texts:  # noqa: ASYNC110 -- bounded, and the program is real
                await asyncio.sleep(0.01)


def is_alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_a_program_gets_its_input_and_is_heard() -> None:
    output = Output()
    assert await output.run("cat", stdin=b"one\ntwo") == 0
    assert output.texts == ["one", "two"]


async def test_input_larger_than_a_pipe_arrives_whole() -> None:
    output = Output()
    await output.run("sh", "-c", "sleep 0.05; wc -c", stdin=b"x" * 3_000_000)
    assert output.texts == ["3000000"]


async def test_a_program_that_reads_nothing_ends_as_it_likes() -> None:
    assert await Output().run("sh", "-c", "exit 4", stdin=b"x" * 3_000_000) == 4


async def test_a_program_that_says_nothing_has_no_lines() -> None:
    output = Output()
    await output.run("true")
    assert output.lines == output.errors == []


async def test_a_line_without_an_end_is_a_line() -> None:
    output = Output()
    await output.run("printf", "one\\n\\nha")
    assert output.texts == ["one", "", "ha"]


async def test_binary_output_is_text_with_marks() -> None:
    output = Output()
    await output.run("printf", "\\377\\376a\\000b\\r\\n")
    assert output.texts == ["\ufffd\ufffda\x00b"]


async def test_an_endless_line_is_cut_and_its_rest_passed_over() -> None:
    output = Output()
    await output.run("sh", "-c", "head -c 50000000 /dev/zero; echo; echo next")
    assert [len(line.text) for line in output.lines] == [16384, 4]
    assert [line.is_cut for line in output.lines] == [True, False]


async def test_a_program_that_is_not_there_is_status_127() -> None:
    output = Output()
    assert await output.run("/no/such/thing") == 127
    assert "No such file" in output.errors[0].text


async def test_a_program_that_kills_itself_has_a_negative_status() -> None:
    assert await Output().run("sh", "-c", "kill -9 $$") == -9


async def test_a_directory_that_is_not_there_is_an_error() -> None:
    with pytest.raises(FileNotFoundError):
        await Output().run("true", at=Path("/no/such/place"))


async def test_an_interrupt_is_what_a_cancelled_program_gets_first() -> None:
    output = Output()
    script = "trap 'echo interrupted; exit' INT; echo up; while :; do sleep 0.02; done"
    task = asyncio.ensure_future(output.run("sh", "-c", script))
    await output.until("up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert output.texts == ["up", "interrupted"]


async def test_a_program_that_ignores_everything_is_killed() -> None:
    output = Output()
    script = "trap '' INT TERM; echo $$; echo up; while :; do sleep 0.02; done"
    patience = Patience(terminate_after=0.1, kill_after=0.1)
    task = asyncio.ensure_future(output.run("sh", "-c", script, patience=patience))
    await output.until("up")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, on_this_machine(5))
    assert not is_alive(int(output.texts[0]))


async def test_a_second_cancel_kills_at_once() -> None:
    output = Output()
    script = "trap '' INT TERM; echo $$; echo up; while :; do sleep 0.02; done"
    task = asyncio.ensure_future(output.run("sh", "-c", script))
    await output.until("up")
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, on_this_machine(3))
    assert not is_alive(int(output.texts[0]))


async def test_what_a_program_leaves_in_its_group_may_finish_shortly() -> None:
    output = Output()
    await output.run("sh", "-c", "(sleep 0.2; echo late) & exit 0")
    assert output.texts == ["late"]


async def test_what_a_program_leaves_in_its_group_is_ended() -> None:
    output = Output()
    patience = Patience(linger=0.05, kill_after=0.1)
    script = "(trap '' TERM; echo up; while :; do sleep 0.02; done) & echo $!; sleep 0.1"
    assert await output.run("sh", "-c", script, patience=patience) == 0
    left = [int(text) for text in output.texts if text.isdigit()]
    async with asyncio.timeout(on_this_machine(5)):
        # Whoever adopted it has to notice its end, too.
        while any(map(is_alive, left)):  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def test_what_left_the_group_does_not_hold_up_the_end() -> None:
    output = Output()
    async with asyncio.timeout(on_this_machine(4)):
        await output.run("sh", "-c", "setsid sleep 20 & echo $!; sleep 0.1")
    os.kill(int(output.texts[0]), signal.SIGKILL)


async def test_interrupts_reach_a_program_of_a_harness_that_ignores_them() -> None:
    # A shell starts background jobs so, and a program would inherit it.
    code = (
        "import asyncio, signal, os\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from pathlib import Path\n"
        "from hyperhive.harness.drivers.processes import LineReader, run_program\n"
        "show = LineReader(lambda line: print(line.text))\n"
        "asyncio.run(run_program(['sh', '-c', 'kill -2 $$; echo deaf'], directory=Path('/'),\n"
        "    environment=os.environ, stdin=b'', stdout=show, stderr=show))\n"
    )
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, timeout=8, check=True
    )
    assert b"deaf" not in done.stdout


def test_an_exit_is_described_in_words() -> None:
    assert describe_exit(3) == "exit status 3"
    assert describe_exit(-9) == "killed by SIGKILL"
