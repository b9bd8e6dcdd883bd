"""Where each data set is to be had, under which terms, and how to know that it is the right one.

Nothing here was fetched in the making of this project: each address carries the place where it was
read. Nobody publishes a checksum for an archive of these sets, and GitHub makes the archive of a
commit anew for each request and promises no stable bytes. `sjepa.download` therefore notes the
checksum of a first download. What is known is the content: `CONTENT`, which does not depend on how
an archive was packed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from sjepa.datasets.store import Store


@dataclass(frozen=True)
class Archive:
    """A zip file that anyone may download.

    Attributes:
        url: its address.
        file: its name here.
        suffixes: of the data files in it; nothing else is unpacked, but for licence and read-me.
        unpacked: bytes of those data files, about; several times as much is refused.
        size: bytes of the archive, where they are known.
        sha256: its checksum, where it is known.
    """

    url: str
    file: str
    suffixes: tuple[str, ...]
    unpacked: int
    size: int | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Origin:
    """A data set at its owners.

    Attributes:
        title: its name.
        page: the owners' page.
        licence: its terms, in a few words.
        terms: what they allow and forbid, a sentence.
        cite: what to cite.
        archive: what can be downloaded; None for a set that its owners license to persons.
        ask: of such a set: how to get it and which files to take, a sentence.
    """

    title: str
    page: str
    licence: str
    terms: str
    cite: str
    archive: Archive | None = None
    ask: str = ""


def _commit(repository: str, commit: str, file: str, *suffixes: str, unpacked: int) -> Archive:
    """A GitHub repository as it was at a commit."""
    url = f"https://github.com/{repository}/archive/{commit}.zip"
    return Archive(url, file, suffixes, unpacked)


_NTU_PAGE = "https://rose1.ntu.edu.sg/dataset/actionRecognition/"
_NTU_TERMS = "for research only, by a signed agreement"
_PKU_PAGE = "https://www.icst.pku.edu.cn/struct/Projects/PKUMMD.html"
_PKU_CITE = "Liu, Hu, Li, Song, Liu: PKU-MMD, arXiv:1703.07475, 2017"

ORIGINS = {
    "kindergator": Origin(
        "Kinder-Gator", "https://github.com/hayeesha/Kinder-Gator", "no licence file",
        "the authors offer it «for use in animation and whole-body recognition and interaction»; "
        "half of the people are children, of whom only joints were published: use it for "
        "research, and ask the authors before passing it on",
        "Aloba et al.: Kinder-Gator: The UF Kinect Database of Child and Adult Motion, "
        "Eurographics 2018, Short Papers",
        # The commit at which the trials of Adults/ and Children/ are indexed publicly; later ones
        # edit the read-me.
        _commit("hayeesha/Kinder-Gator", "936be575b518ed9c112cd03695527133c48d4dc4",
                "Kinder-Gator.zip", ".csv", unpacked=127_000_000),
    ),
    "nwucla": Origin(
        "Northwestern-UCLA Multiview Action3D", "http://wangjiangb.github.io/my_data.html",
        "no licence text found",
        "an open download without a form: use it for research, and do not pass it on",
        "Wang, Nie, Xia, Wu, Zhu: Cross-view Action Modeling, Learning and Recognition, CVPR 2014",
        # The JSON release. The read-me of CTR-GCN (Uason-Chen/CTR-GCN) links it with dl=0, which
        # is a page about the file; with dl=1, as other public code has it, it is the file.
        Archive("https://www.dropbox.com/s/10pcm4pksjy6mkq/all_sqe.zip?dl=1", "all_sqe.zip",
                (".json",), unpacked=39_000_000),
    ),
    "hdm05": Origin(
        "HDM05, 11 classes", "http://resources.mpi-inf.mpg.de/HDM05/", "CC BY-SA 3.0",
        "share and adapt it, with attribution and under the same licence; say «The data used in "
        "this project was obtained from HDM05.»",
        "Müller, Röder, Clausen, Eberhardt, Krüger, Weber: Documentation Mocap Database HDM05, "
        "Technical report CG-2007-2, Universität Bonn, 2007",
        # A copy of the owners' cut files of these classes, with their ASF skeletons; the licence
        # allows copies. The owners' own HDM05_cut_amc.zip has all classes; its address is on their
        # page only.
        _commit("zhangchi8620/JointLearning-HDM05", "b252ad65598e052c38f49490c1ac9dbadc283fd3",
                "JointLearning-HDM05.zip", ".asf", ".amc", unpacked=56_000_000),
    ),
    "bandai": Origin(
        "Bandai-Namco Research Motion dataset 1 and 2",
        "https://github.com/BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset",
        "CC BY-NC 4.0",
        "share and adapt it, with attribution and for non-commercial purposes; © 2022 Bandai Namco "
        "Research Inc.",
        "Kobayashi, Liao, Inoue, Yojima, Takahashi: Motion Capture Dataset for Practical Use of "
        "AI-based Motion Editing and Stylization, arXiv:2306.08861, 2023",
        # The owners' read-me (README_Japanese.md) sends to the archive of their main branch; this
        # is the commit of that read-me, and the first seen with CC BY-NC. Commit 60c0ef1 still had
        # CC BY-NC-ND.
        _commit("BandaiNamcoResearchInc/Bandai-Namco-Research-Motiondataset",
                "74ead3ba1ae4696404e6086233779f60de8bf9ef",
                "Bandai-Namco-Research-Motiondataset.zip", ".bvh", unpacked=597_000_000),
    ),
    "ntu60": Origin(
        "NTU RGB+D 60", _NTU_PAGE, "research only, signed agreement", _NTU_TERMS,
        "Shahroudy, Liu, Ng, Wang: NTU RGB+D, CVPR 2016",
        # Names of the archives: read-me of CTR-GCN.
        ask=f"ask the ROSE lab at {_NTU_PAGE} and take nturgbd_skeletons_s001_to_s017.zip",
    ),
    "ntu120": Origin(
        "NTU RGB+D 120", _NTU_PAGE, "research only, signed agreement", _NTU_TERMS,
        "Liu, Shahroudy, Perez, Wang, Duan, Kot: NTU RGB+D 120, TPAMI 42(10), 2020",
        ask=f"ask the ROSE lab at {_NTU_PAGE} and take nturgbd_skeletons_s001_to_s017.zip and "
            "nturgbd_skeletons_s018_to_s032.zip",
    ),
    "pku1": Origin(
        "PKU-MMD, phase I", _PKU_PAGE, "permission by e-mail",
        "for those to whom the owners give permission", _PKU_CITE,
        # Names of the archives: MAMP's read-me.
        ask=f"write to the owners as {_PKU_PAGE} says, and take Skeleton.7z, Label_PKUMMD.7z, "
            "cross-subject.txt and cross-view.txt of phase 1",
    ),
    "pku2": Origin(
        "PKU-MMD, phase II", _PKU_PAGE, "permission by e-mail",
        "for those to whom the owners give permission", _PKU_CITE,
        ask=f"write to the owners as {_PKU_PAGE} says, and take Skeleton_v2.7z, "
            "Label_PKUMMD_v2.7z, cross_subject_v2.txt and cross_view_v2.txt of phase 2",
    ),
}


class Content(NamedTuple):
    """What clips a set has, whatever the positions in them."""

    clips: int
    frames: int
    sha256: str


#: Of the conversions that this project measured on: of HDM05 and Bandai-Namco made from the commits
#: above, of Kinder-Gator from a later one, of NW-UCLA from a copy of the JSON release.
CONTENT = {
    "kindergator": Content(
        1_159, 194_523, "eef749dae6653ae2961b7542c8c005ac2a69b53fd726e332ebf6cbe4425e3a22"),
    "nwucla": Content(
        1_484, 58_534, "aa28b52575dce30cc4bd0bb9cc61ee987f1921d07ee02faa57082a8126b2e288"),
    "hdm05": Content(
        288, 17_951, "3a618b82e94e64a81f0dde3f956c2bb67b2bfce4e97e082267cc0e3f293f6fa3"),
    "bandai": Content(
        3_076, 416_845, "0ffa2cde06a913c911359b7678be369b1267a485dbc65117dbc9a4730e81f120"),
}


def content_rows(store: Store) -> list[str]:
    """A line a clip: its class, subject, view, setup and length in frames; sorted."""
    columns = (store.labels, store.subjects, store.views, store.setups, store.lengths)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return sorted(" ".join(map(str, row)) for row in rows)


def content_fingerprint(store: Store) -> Content:
    """Clips, frames, and a hash of `content_rows`.

    It is the same for a store of the owners' files and one of their conversion, in float32 and in
    int16: neither the order of the clips, nor their names, nor the rounding of positions is in it.
    """
    digest = hashlib.sha256("\n".join(content_rows(store)).encode()).hexdigest()
    return Content(len(store), int(store.lengths.sum()), digest)
