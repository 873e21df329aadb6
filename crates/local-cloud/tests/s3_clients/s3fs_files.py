"""s3fs, as pandas, Dask and PyArrow use it: files of a bucket as if they were local ones."""

import os
import urllib.request

import s3fs

fs = s3fs.S3FileSystem()
LARGE = os.urandom(12 << 20)

fs.mkdir("files")
with fs.open("files/deep/größe 日本+&.txt", "w", encoding="utf-8") as file:
    file.write("first line\nsecond line\n")
with fs.open("files/deep/größe 日本+&.txt", "r", encoding="utf-8") as file:
    assert file.readlines()[1] == "second line\n"
with fs.open("files/large.bin", "wb", block_size=5 << 20) as file:
    for start in range(0, len(LARGE), 1 << 20):
        file.write(LARGE[start : start + (1 << 20)])
assert fs.size("files/large.bin") == len(LARGE)
with fs.open("files/large.bin", "rb") as file:
    file.seek(7 << 20)
    assert file.read(1000) == LARGE[7 << 20 : (7 << 20) + 1000]

# A file that grows is copied in parts.
with fs.open("files/large.bin", "ab") as file:
    file.write(b"the end")
assert fs.tail("files/large.bin", 7) == b"the end"

fs.pipe({"files/a name": b"1", "files/deep/b": b"2"})
assert fs.cat("files/a name") == b"1"
assert sorted(fs.find("files")) == ["files/a name", "files/deep/b", "files/deep/größe 日本+&.txt", "files/large.bin"]
assert fs.glob("files/*/b") == ["files/deep/b"] and fs.isdir("files/deep") and not fs.exists("files/none")
assert sorted(info["name"] for info in fs.ls("files", detail=True)) == ["files/a name", "files/deep", "files/large.bin"]
fs.cp("files/large.bin", "files/copy.bin")
fs.mv("files/copy.bin", "files/moved.bin")
assert fs.cat_file("files/moved.bin", start=5, end=9) == LARGE[5:9] and not fs.exists("files/copy.bin")
fs.put("/etc/hostname", "files/host") if os.path.exists("/etc/hostname") else None
fs.get("files/deep", "down", recursive=True)
assert open("down/b", "rb").read() == b"2"

fs.setxattr("files/a name", copy_kwargs={"ContentType": "text/plain"}, kind="letter")
assert fs.getxattr("files/a name", "kind") == "letter"
fs.put_tags("files/a name", {"project": "x"})
assert fs.get_tags("files/a name") == {"project": "x"}
assert urllib.request.urlopen(fs.sign("files/a name", expiration=60)).read() == b"1"

# Created once: in one request, and in parts.
for body in (b"x", LARGE):
    fs.pipe_file("files/once", body, mode="create")
    try:
        fs.pipe_file("files/once", body, mode="create")
    except OSError as error:
        assert isinstance(error, FileExistsError) or "pre-conditions" in str(error), error
        fs.rm("files/once")
    else:
        raise AssertionError("an object was created twice")

fs.rm("files", recursive=True)
assert not fs.exists("files")
