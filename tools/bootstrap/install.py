"""Gets one tool by the first way that works: PATH, the cache, the official download, a build with Go."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from tools.bootstrap import golang, path_programs, store, view
from tools.bootstrap.downloads import Downloads, Unavailable
from tools.bootstrap.errors import SetupError
from tools.bootstrap.folders import Platform, SetupFolders, fingerprint, short
from tools.bootstrap.progress import Progress, elapsed
from tools.bootstrap.recipes import Files, FileSet, GoBuild, Program, Recipe

PATH, DOWNLOAD, BUILD, MODULE = "PATH", "download", "build", "Go module"
"""Where a tool may come from."""


@dataclass(frozen=True)
class Installer:
    """Gets tools into the cache and their links into the view."""

    folders: SetupFolders
    platform: Platform
    search_path: str
    downloads: Downloads
    progress: Progress

    def place(self, recipe: Recipe) -> Path:
        """Return where the finished tool lies in the cache: another pin or recipe is another place."""
        pins = [golang.pins(self._wrapper(name)) for name in _wrappers(recipe)]
        key = fingerprint(repr(recipe), str(self.platform), *pins)
        return self.folders.tools / recipe.name / f"{self.version(recipe)}-{key}"

    def version(self, recipe: Recipe) -> str:
        """Return the pinned version; `pinned` for files of modules that each have their own."""
        if isinstance(recipe, Program):
            return self._pinned(recipe.build.wrapper, recipe.build.module)
        versions = {self._pinned(recipe.wrapper, each.module) for each in recipe.sets}
        return versions.pop() if len(versions) == 1 else "pinned"

    def locate(self, recipe: Recipe) -> view.Entry | None:
        """Return the tool if the machine has it: on PATH or finished in the cache."""
        if isinstance(recipe, Program):
            on_path = path_programs.find(
                recipe.name,
                recipe.fits,
                self.search_path,
                ask_version=recipe.ask_version,
                companions=recipe.companions,
                static=recipe.static,
            )
            if on_path:
                return view.Entry(on_path.version, PATH, {f"bin/{recipe.name}": str(on_path.path)})
        place = self.place(recipe)
        noted = store.note(place)
        return self._entry(recipe, place, noted) if noted else None

    def ensure(self, recipe: Recipe) -> view.Entry:
        """Return the tool with its links in the view; get it first if the machine does not have it."""
        self.progress.step(f"{recipe.name} {self.version(recipe)}")
        entry = self.locate(recipe) or self._obtain(recipe)
        view.put(self.folders.view, recipe.name, entry)
        return entry

    def _obtain(self, recipe: Recipe) -> view.Entry:
        place = self.place(recipe)

        def make(folder: Path) -> store.Note:
            started = time.monotonic()
            origin = self._program(recipe, folder) if isinstance(recipe, Program) else self._files(recipe, folder)
            self.progress.say(f"ready after {elapsed(time.monotonic() - started)} ({origin})")
            return store.Note(self.version(recipe), origin)

        noted = store.obtain(place, make, lambda: self.progress.say("another set-up is at it; waiting"))
        return self._entry(recipe, place, noted)

    def _entry(self, recipe: Recipe, place: Path, noted: store.Note) -> view.Entry:
        if isinstance(recipe, Program):
            links = {f"bin/{file.name}": str(file) for file in sorted((place / "bin").iterdir())}
        elif recipe.joined_as:
            links = {recipe.joined_as: str(place / Path(recipe.joined_as).name)}
        else:
            links = {f"{recipe.name}/{each.name}": str(place / self._set_folder(recipe, each)) for each in recipe.sets}
        return view.Entry(noted.version, noted.origin, links)

    def _program(self, program: Program, folder: Path) -> str:
        try:
            self.downloads.fetch(program, self.version(program), folder)
        except Unavailable as reason:
            for build in (program.build, *program.companion_builds):
                self._build(program, build, folder, why=str(reason))
            for file in program.companion_files:
                go = self._go(program, file.wrapper)
                source = go.module_folder(file.module) / file.path
                target = folder / "bin" / source.name
                target.write_bytes(source.read_bytes())
                target.chmod(0o755)
            return BUILD
        return DOWNLOAD

    def _build(self, program: Program, build: GoBuild, folder: Path, why: str) -> None:
        go = self._go(program, build.wrapper)
        version = self._pinned(build.wrapper, build.module)
        what = "building" if build is program.build else f"building {build.name} {version}"
        self.progress.say(
            f"{what} from Go modules, about {build.minutes:g} min on 2 cores"
            f" (once; cached in {short(self.folders.cache)}; {why})"
        )
        major, minor, *_ = version.split(".")
        go.build(
            build,
            folder / "bin" / build.name,
            ldflags=build.ldflags.format(version=version, major=major, minor=minor),
            log=self.folders.logs / f"{build.name}-{version}.log",
            progress=self.progress,
        )

    def _files(self, recipe: Files, folder: Path) -> str:
        go = self._go(recipe, recipe.wrapper)
        taken: list[str] = []
        for each in recipe.sets:
            root = go.module_folder(each.module)
            files = [file for sub in each.folders for file in sorted((root / sub).glob("*.yaml"))]
            texts = {file.name: file.read_text() for file in files}
            texts = {name: text for name, text in texts.items() if each.containing in text}
            if not texts:
                raise SetupError(f"{recipe.name}: {root} has no `{each.containing}` in {', '.join(each.folders)}.")
            taken += texts.values()
            if recipe.joined_as is None:
                target = folder / self._set_folder(recipe, each)
                target.mkdir(parents=True)
                for name, text in texts.items():
                    (target / name).write_text(text)
        if recipe.joined_as:
            (folder / Path(recipe.joined_as).name).write_text("\n---\n".join(taken))
        return MODULE

    def _set_folder(self, recipe: Files, each: FileSet) -> Path:
        return Path(each.name, self._pinned(recipe.wrapper, each.module))

    def _pinned(self, wrapper: str, module: str) -> str:
        return golang.pinned(self._wrapper(wrapper), module)

    def _wrapper(self, name: str) -> Path:
        return self.folders.go_modules / name

    def _go(self, recipe: Recipe, wrapper: str) -> golang.Go:
        instead = f"Or put {recipe.name} {recipe.fits} on PATH." if isinstance(recipe, Program) else ""
        return golang.Go.find(
            self._wrapper(wrapper), wanted_for=f"{recipe.name} {self.version(recipe)}", instead=instead
        )


def _wrappers(recipe: Recipe) -> list[str]:
    if isinstance(recipe, Files):
        return [recipe.wrapper]
    parts = (recipe.build, *recipe.companion_builds, *recipe.companion_files)
    return sorted({part.wrapper for part in parts})


def installer(folders: SetupFolders, progress: Progress) -> Installer:
    """Return an installer for this machine, as the environment sets it."""
    platform = Platform.current()
    return Installer(
        folders=folders,
        platform=platform,
        search_path=path_programs.search_path(os.environ.get("PATH", ""), [folders.view / "bin"]),
        downloads=Downloads(platform, offline=os.environ.get("LLM_SERVING_TOOLS_OFFLINE") == "1"),
        progress=progress,
    )
