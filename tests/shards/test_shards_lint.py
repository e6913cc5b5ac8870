"""`loretta data lint` on shards alone: every fault, with its place."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from loretta_framework.api.errors import ShardError
from loretta_framework.cli.main import main
from loretta_framework.shards import scan
from loretta_framework.shards.index import open_index
from loretta_framework.shards.linting import lint
from loretta_framework.shards.linting.contents import Contents, same_content
from loretta_framework.shards.linting.findings import Finding, tally
from loretta_framework.shards.linting.inspection import MAX_JSON_BYTES
from loretta_framework.shards.linting.lint import is_fatal, lint_shard, lint_shards
from loretta_framework.shards.members import MemberName, parse_member

Tar = Callable[..., Path]

GOOD = [
    ("a.image.png", b"first"),
    ("a.text.txt", b"hello"),
    ("b.text.txt", "grüße".encode()),
    ("b.meta.json", b'{"digit": 1}'),
]


def codes(path: Path) -> list[str]:
    return [finding.code for finding in lint_shard(path)]


def special(name: str, kind: bytes, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def test_a_good_shard_has_no_finding(tar: Tar) -> None:
    assert codes(tar(GOOD)) == []
    assert codes(tar([special("d", tarfile.DIRTYPE), ("d/a.text.txt", b"x")])) == []


FAULTS = [
    ("dotted-key", ("a.b.c.image.png", b"x")),
    ("no-extension", ("readme", b"x")),
    ("pickle", ("k.image.pkl", b"x")),
    ("pickle", ("k.PYD", b"x")),
    ("pickle", ("k.weights.pth", b"x")),
    ("climbing-path", ("../k.text.txt", b"x")),
    ("climbing-path", ("/etc/k.text.txt", b"x")),
    ("climbing-path", ("d\\k.text.txt", b"x")),
    ("bad-key", (".hidden.txt", b"x")),
    ("bad-name", ("k.te xt.txt", b"x")),
    ("link", special("k.text.txt", tarfile.SYMTYPE, "/etc/passwd")),
    ("link", special("k.text.txt", tarfile.LNKTYPE, "a.text.txt")),
    ("no-plain-file", special("k.text.txt", tarfile.CHRTYPE)),
    ("no-plain-file", special("k.text.txt", tarfile.FIFOTYPE)),
    ("sparse", special("k.text.txt", tarfile.GNUTYPE_SPARSE)),
    ("compressed-member", ("k.text.gz", gzip.compress(b"x", mtime=0))),
    ("invalid-utf8", ("k.text.txt", b"abc\xff")),
    ("invalid-utf8", ("k.meta.json", b'{"a": "\xff"}')),
    ("invalid-json", ("k.meta.json", b"{")),
    ("invalid-json", ("k.meta.json", b"[" * 100_000)),
    ("oversized-json", ("k.meta.json", b" " * (MAX_JSON_BYTES + 1))),
]


@pytest.mark.parametrize(("code", "member"), FAULTS)
def test_every_fault_is_named_with_its_offset_and_the_rest_is_read_on(
    code: str, member: tuple[str, bytes] | tarfile.TarInfo, tar: Tar
) -> None:
    path = tar([GOOD[0], GOOD[1], member, ("y.text.txt", b"\xff"), *GOOD[2:]])
    found = [f for f in lint_shard(path) if f.severity == "error"]
    assert [finding.code for finding in found] == [code, "invalid-utf8"]
    assert found[0].shard == str(path)
    assert found[0].offset == 2048
    assert found[0].fix
    assert found[1].key == "y"
    assert found[1].member == "text.txt"


def test_a_tar_of_several_faults_lists_them_all(tar: Tar) -> None:
    path = tar([member for _, member in FAULTS])
    found = [f.code for f in lint_shard(path) if f.severity == "error"]
    # members of key k that follow others of key k between which faults lie are still one sample
    for code in {code for code, _ in FAULTS}:
        assert code in found


def test_scattered_members_and_repeated_keys_are_told_apart(tar: Tar) -> None:
    apart = tar([("a.image.png", b"1"), ("b.image.png", b"2"), ("a.text.txt", b"3")])
    (finding,) = lint_shard(apart)
    assert (finding.code, finding.key, finding.offset) == ("non-adjacent", "a", 2048)
    twice = tar([("a.text.txt", b"1"), ("b.text.txt", b"2"), ("a.text.txt", b"3")])
    (finding,) = lint_shard(twice)
    assert (finding.code, finding.key) == ("duplicate-key", "a")
    beside = tar([("a.text.txt", b"1"), ("a.text.0.TXT", b"2")])
    (finding,) = lint_shard(beside)
    assert (finding.code, finding.member) == ("duplicate-member", "text.txt")


def test_doubtful_members_are_warnings(tar: Tar) -> None:
    found = list(lint_shard(tar([("a.text.txt", b""), ("b.meta.json", b"{}")])))
    assert [(f.severity, f.code, f.key) for f in found] == [
        ("warning", "empty-member", "a"),
        ("warning", "no-modality", "b"),
    ]
    assert tally(found) == (0, 2)


@pytest.mark.parametrize(
    ("order", "what"),
    [
        (["text.0", "image.0", "text.1"], None),
        (["text", "image", "text.1"], None),
        (["text.0", "image.0", "speech.0"], "no such member"),
        (["text.0", "text.0"], "twice"),
        (["text." + "1" * 5000], "no such member"),
        ({"text": 0}, "list of names"),
        ([1], "list of names"),
    ],
)
def test_an_order_must_name_what_is_there(order: object, what: str | None, tar: Tar) -> None:
    names = ("a.image.png", "a.text.txt", "a.text.1.txt")
    members = [*((name, b"x") for name in names), ("a.sequence.json", json.dumps(order).encode())]
    found = list(lint_shard(tar(members)))
    assert [f.code for f in found] == ([] if what is None else ["bad-sequence"])
    assert what is None or what in found[0].what


def test_every_cut_is_found(tar: Tar, tmp_path: Path) -> None:
    whole = tar(GOOD).read_bytes()
    last = 4 * 1024
    for length in range(0, last + 1024, 256):
        cut = tmp_path / "cut.tar"
        cut.write_bytes(whole[:length])
        assert {"truncated", "empty"} & set(codes(cut)), length


def test_data_after_the_end_is_found(tar: Tar, tmp_path: Path) -> None:
    joined = tmp_path / "joined.tar"
    joined.write_bytes(tar(GOOD).read_bytes() * 2)
    (finding,) = [f for f in lint_shard(joined) if f.severity == "error"]
    assert finding.code == "trailing"


def test_a_declared_size_is_never_allocated(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.image.png")
    info.size = 1 << 40
    path = tmp_path / "bomb.tar"
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + b"\0" * 1024)
    assert codes(path) == ["truncated"]


def test_an_oversized_member_is_found_in_a_sparse_file(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a.image.png")
    info.size = (1 << 30) + 512
    path = tmp_path / "big.tar"
    with path.open("wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.seek(512 + info.size + 1023)
        file.write(b"\0")
    assert codes(path) == ["oversized"]


def test_flipped_bits_are_found_where_an_index_is(tar: Tar) -> None:
    path = tar(GOOD)
    open_index([path])
    assert codes(path) == []
    status = path.stat()
    data = bytearray(path.read_bytes())
    data[1024 + 512] ^= 1  # the content of a.text.txt
    path.write_bytes(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    (finding,) = lint_shard(path)
    assert (finding.code, finding.key, finding.member) == ("changed-since-index", "a", "text.txt")


def test_a_missing_shard_is_a_finding(tmp_path: Path) -> None:
    (finding,) = lint_shard(tmp_path / "none.tar")
    assert finding.code == "unreadable"
    assert "No such file" in finding.what


def test_keys_and_samples_shared_by_shards_are_found(tar: Tar) -> None:
    same = [("x.image.png", b"p" * 50), ("x.text.txt", b"caption")]
    one = tar([*same, *GOOD], "set-000.tar")
    two = tar(
        [("a.image.png", b"other"), ("q.image.png", same[0][1]), ("q.text.txt", same[1][1])],
        "set-001.tar",
    )
    found = list(lint_shards([one, two]))
    assert [(f.severity, f.code, f.key) for f in found] == [
        ("error", "duplicate-key", "a"),
        ("warning", "duplicate-sample", "q"),
    ]
    assert str(one) in found[0].what
    assert str(one) in found[1].what
    other = tar([("a.image.png", b"other")], "other.tar")
    (finding,) = lint_shards([one, other])
    assert (finding.severity, finding.code) == ("warning", "shared-key")


def test_short_words_are_no_duplicates(tar: Tar) -> None:
    assert codes(tar([("a.text.txt", b"seven"), ("b.text.txt", b"seven")])) == []


def test_contents_of_one_checksum_are_compared_byte_by_byte(tar: Tar) -> None:
    contents = Contents()
    path = tar([("a.x.bin", b"1" * 2000), ("b.x.bin", b"1" * 2000), ("c.x.bin", b"2" * 2000)])
    list(lint_shard(path, contents))
    a, b, c = (contents.place(member) for member in range(3))
    assert same_content(a, b)
    assert not same_content(a, c)


BOUNDS = [
    ("MAX_SAMPLE_MEMBERS", 3, "a sample may have at most 3 members"),
    ("MAX_NAMES", 6, "at most 6 different names"),
    ("MAX_SHAPE_NAMES", 3, "too many different sets of members"),
    ("MAX_KEY_BYTES", 3, "may have at most 3 bytes together"),
]


def test_the_shard_is_refused_exactly_when_a_finding_is_fatal(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _, member in FAULTS:
        path = tar([GOOD[0], member, GOOD[2]])
        assert lint_refuses(path) == index_refuses(path), member
    for code, names in (("", 3), ("too-many", 4)):
        path = tar([(f"a.image.{n}.png", b"x") for n in range(names)])
        with monkeypatch.context() as bound:
            bound.setattr(scan, "MAX_SAMPLE_MEMBERS", 3)
            assert codes(path) == ([code] if code else [])


@pytest.mark.parametrize(("bound", "limit", "what"), BOUNDS)
def test_the_bounds_of_the_index_are_those_of_lint(
    bound: str, limit: int, what: str, tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, bound, limit)
    refused = []
    for samples in range(1, 7):
        for members in range(1, 5):
            path = tar(
                [(f"k{s}.m{s}x{m}.txt", b"x") for s in range(samples) for m in range(members)]
            )
            found = list(lint_shard(path))
            assert any(map(is_fatal, found)) == index_refuses(path), (samples, members)
            refused.append(bool(found))
            if found:
                assert {f.code for f in found} == {"too-many"}
                assert what in found[0].what
                assert found[0].fix
                assert len(found) == (samples if bound == "MAX_SAMPLE_MEMBERS" else 1)
    assert True in refused
    assert False in refused


def lint_refuses(path: Path) -> bool:
    return any(map(is_fatal, lint_shard(path)))


def index_refuses(path: Path) -> bool:
    try:
        open_index([path])
    except ShardError:
        return True
    return False


def test_time_grows_with_the_members_not_with_their_square(
    tar: Tar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts comparisons of names: a list or a tuple of members compares each with all before."""
    compared = 0

    class Name(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    def parse(path: str) -> MemberName:
        name = parse_member(path)
        return MemberName(name.key, name.modality, name.instance, name.extension, Name(name.local))

    monkeypatch.setattr(lint, "parse_member", parse)
    many = 1000
    assert codes(tar([(f"a.image.{n}.png", b"x") for n in range(many)])) == []
    turns = [(f"{'ab'[n % 2]}.m{n}.txt", b"x") for n in range(many)]
    assert codes(tar(turns)) == ["non-adjacent"] * (many - 2)
    assert compared < 20 * many


def test_two_members_that_are_one_part_are_told(tar: Tar) -> None:
    (finding,) = lint_shard(tar([("a.text.txt", b"x"), ("a.text.caption", b"y")]))
    assert (finding.severity, finding.code) == ("error", "duplicate-part")
    assert (finding.key, finding.member) == ("a", "text.caption")
    assert finding.what == "'text.txt' and 'text.caption' are both text number 0"
    assert finding.fix == "number the members: image.0.png, image.1.png"
    assert not is_fatal(finding)


def test_an_order_that_leaves_out_a_part_is_told(tar: Tar) -> None:
    names = ("a.text.txt", "a.text.1.txt", "a.facts.json", "a.meta.json")
    members = [(name, b"1") for name in names]
    path = tar([*members, ("a.sequence.json", b'["text.0"]')])
    (finding,) = lint_shard(path)
    assert (finding.severity, finding.code) == ("warning", "incomplete-sequence")
    assert finding.what == "it leaves out text.1"
    assert finding.fix


def test_the_command_prints_findings_and_counts(
    tar: Tar, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tar([("a.text.txt", b"\xff"), ("b.text.txt", b"")])
    assert main(["data", "lint", str(path)]) == 2
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith(f"error    invalid-utf8  {path}:0 key 'a' member 'text.txt': ")
    assert " -> " in out[0]
    assert out[-1] == "1 error, 1 warning"
    assert main(["data", "lint", str(path), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert (told["errors"], told["warnings"]) == (1, 1)
    assert told["findings"][0]["offset"] == 0
    assert told["findings"][0]["code"] == "invalid-utf8"
    clean = tar(GOOD, "clean.tar")
    assert main(["data", "lint", str(clean)]) == 0
    assert capsys.readouterr().out == "0 errors, 0 warnings\n"


def test_compressed_shards_are_refused_with_the_command(
    tar: Tar, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tar(GOOD)
    packed = path.with_name("y.tar.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert main(["data", "lint", str(packed)]) == 2
    assert f"gzip -dc {packed}" in capsys.readouterr().err
    assert main(["data", "lint", str(path.parent)]) == 2
    out = capsys.readouterr().out
    assert "compressed-shard" in out
    assert f"gzip -dc {packed}" in out


def test_nothing_named_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "lint"]) == 2
    assert "nothing to check was named" in capsys.readouterr().err


def test_names_cannot_move_the_cursor() -> None:
    finding = Finding("error", "bad-name", "w", "f", "s.tar", 3, "k\x1b[2J", "m\x07")
    assert "\x1b" not in str(finding)
    assert "\x07" not in str(finding)


def test_what_stands_in_the_data_is_printed_escaped(
    tar: Tar, capsys: pytest.CaptureFixture[str]
) -> None:
    order = json.dumps(["\x1b]0;owned\x07"]).encode()
    path = tar([("a.text.txt", b"x"), ("a.sequence.json", order)], "esc.tar")
    assert main(["data", "lint", str(path)]) == 2
    assert r"it names '\x1b]0;owned\x07', but" in capsys.readouterr().out
    path = tar([("a.text.txt", b"x"), ("a.sequence.json", b'["\\ud800"]')], "lone.tar")
    assert main(["data", "lint", str(path)]) == 2
    assert r"it names '\ud800', but" in capsys.readouterr().out


def test_lint_reads_from_any_file_like_tar(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("d/" + "k" * 150 + ".text.txt")
        info.size, info.mtime = 2, 1.5  # type: ignore[assignment]
        archive.addfile(info, io.BytesIO(b"hi"))
    path = tmp_path / "pax.tar"
    path.write_bytes(buffer.getvalue())
    assert codes(path) == []
