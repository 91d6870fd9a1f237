//! What is in each package: its files, laid out as they will lie on the operator's host.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};

use super::{Binaries, Shared};
use crate::{
    command::{command, execute_quietly},
    tree::root,
};

/// Where the package of the daemon has the book.
const BOOK: &str = "usr/share/doc/arvados-dispatch-cloud-rs/book";

/// Below the output, for the time of packing.
pub(super) const FOLDER: &str = "stage";

/// One package.
pub(crate) struct Package {
    pub(crate) name: &'static str,
    /// The program in it.
    pub(crate) program: &'static str,
    /// One line.
    pub(crate) summary: &'static str,
    /// More about it: lines.
    pub(crate) description: &'static str,
    /// Besides the libraries of the program.
    pub(crate) depends: &'static [&'static str],
    /// Further fields of the control file.
    pub(crate) fields: &'static str,
    /// Whether it is for production, and so for hosts without dpkg as well.
    pub(crate) in_tarball: bool,
    /// The folder with its files below `packaging/`; "" if it has none.
    pub(crate) own: &'static str,
    /// Paths on the operator's host that belong to the operator once they are there.
    pub(crate) conffiles: &'static [&'static str],
}

pub(crate) const PACKAGES: [Package; 3] = [
    Package {
        name: "arvados-dispatch-cloud-rs",
        program: "arvados-dispatch-cloud",
        summary: "runs the containers of an Arvados cluster on cloud VMs",
        description: "A drop-in for Arvados' own arvados-dispatch-cloud: the same configuration file,\n\
                      tags, metrics and endpoints, so that a cluster can switch to it, keep its\n\
                      running containers, and switch back. Takes the place of that package.",
        depends: &["adduser", "ca-certificates"],
        // Both have /usr/bin/arvados-dispatch-cloud and a unit of that name.
        fields: "Conflicts: arvados-dispatch-cloud\nReplaces: arvados-dispatch-cloud\n\
                 Recommends: acl, openssh-client\nSuggests: arvados-dispatch-ctl\n",
        in_tarball: true,
        own: "daemon",
        conffiles: &["/etc/default/arvados-dispatch-cloud"],
    },
    Package {
        name: "arvados-dispatch-ctl",
        program: "arvados-dispatch-ctl",
        summary: "shows and steers the instances and containers of a dispatcher",
        description: "The admin's tool of arvados-dispatch-cloud-rs. It talks to the management API\n\
                      of any Arvados cloud dispatcher.",
        depends: &["ca-certificates"],
        fields: "",
        in_tarball: true,
        own: "",
        conffiles: &[],
    },
    Package {
        name: "arvados-dispatch-lab",
        program: "arvados-dispatch-lab",
        summary: "a simulated Arvados cluster and cloud, to try a dispatcher on",
        description: "Serves an Arvados API, a cloud (also as Amazon EC2 looks) and VMs on loopback\n\
                      addresses, and writes the configuration that a dispatcher needs for it.\n\
                      Not for production.",
        depends: &[],
        fields: "",
        in_tarball: false,
        own: "",
        conffiles: &[],
    },
];

/// A package's files.
pub(super) struct Tree {
    pub(super) folder: PathBuf,
    /// The program in it.
    pub(super) program: PathBuf,
}

/// Lays out one package.
pub(super) fn stage(
    package: &Package,
    binaries: &Binaries,
    shared: &Shared,
    output: &Path,
) -> Result<Tree> {
    let layout = Layout(output.join(FOLDER).join(package.name));
    let program = layout.place(&format!("usr/bin/{}", package.program))?;
    binaries.install(package.program, &program)?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;

    let pages = shared.pages.join(package.program);
    if pages.exists() {
        layout.copy_all(&pages, "usr/share")?;
    }
    let doc = format!("usr/share/doc/{}", package.name);
    layout.copy("packaging/copyright", &format!("{doc}/copyright"))?;
    let changes = fs::read_to_string(root().join("CHANGELOG.md")).context("read CHANGELOG.md")?;
    layout.write(
        &format!("{doc}/changelog"),
        changelog(&changes, &shared.book)?,
    )?;
    layout.write(&format!("{doc}/third-party-licences.txt"), &shared.licences)?;
    if package.own == "daemon" {
        layout.daemon(&doc, &shared.book)?;
    }
    layout.squeeze_pages(&doc)?;
    Ok(Tree {
        folder: layout.0,
        program,
    })
}

/// The changelog with its links to pages leading into the book as the package of the daemon has it.
fn changelog(text: &str, book: &Path) -> Result<String> {
    let mut out = String::new();
    let mut parts = text.split("](docs/");
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (link, rest) = part.split_once(')').context("a link has an end")?;
        let (page, heading) = link.split_once('#').unwrap_or((link, ""));
        let page = match page {
            "SUMMARY.md" => "index.html".to_owned(),
            page => page.replace(".md", ".html"),
        };
        ensure!(
            book.join(&page).exists(),
            "CHANGELOG.md links to docs/{link}, which is not in the book"
        );
        let mark = if heading.is_empty() { "" } else { "#" };
        out.push_str(&format!("](/{BOOK}/{page}{mark}{heading}){rest}"));
    }
    Ok(out)
}

struct Layout(PathBuf);

impl Layout {
    fn daemon(&self, doc: &str, book: &Path) -> Result<()> {
        let own = "packaging/daemon";
        let unit = "arvados-dispatch-cloud.service";
        // Not below /lib, which is a link on most hosts: a tarball must have nothing there. The other is postinst's.
        for place in [
            "usr/lib/systemd/system",
            "usr/share/arvados-dispatch-cloud-rs",
        ] {
            self.copy(&format!("{own}/{unit}"), &format!("{place}/{unit}"))?;
        }
        for place in [
            "etc/default/arvados-dispatch-cloud",
            &format!("{doc}/examples/default"),
        ] {
            self.copy(&format!("{own}/default"), place)?;
        }
        // Where key and configuration go; the cluster's own packages may have it already.
        fs::create_dir_all(self.0.join("etc/arvados"))?;
        self.copy(&format!("{own}/README"), &format!("{doc}/README"))?;
        self.copy(
            &format!("{own}/loopback.conf"),
            &format!("{doc}/examples/loopback.conf"),
        )?;
        self.copy_all(
            &root().join("packaging/examples"),
            &format!("{doc}/examples"),
        )?;
        self.copy_all(book, &format!("{doc}/book"))
    }

    /// The path of a file to be, whose folder is there.
    fn place(&self, path: &str) -> Result<PathBuf> {
        let path = self.0.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        Ok(path)
    }

    fn write(&self, path: &str, content: impl AsRef<[u8]>) -> Result<()> {
        let path = self.place(path)?;
        fs::write(&path, content)?;
        Ok(fs::set_permissions(
            &path,
            fs::Permissions::from_mode(0o644),
        )?)
    }

    /// A file of the tree.
    fn copy(&self, from: &str, to: &str) -> Result<()> {
        let content = fs::read(root().join(from)).with_context(|| format!("read {from}"))?;
        self.write(to, content)
    }

    /// A folder with all that is in it.
    fn copy_all(&self, from: &Path, to: &str) -> Result<()> {
        for entry in fs::read_dir(from).with_context(|| format!("read {}", from.display()))? {
            let entry = entry?;
            let to = format!("{to}/{}", entry.file_name().to_string_lossy());
            if entry.file_type()?.is_dir() {
                self.copy_all(&entry.path(), &to)?;
            } else {
                self.write(&to, fs::read(entry.path())?)?;
            }
        }
        Ok(())
    }

    /// Man pages, changelog and licences are kept squeezed, as Debian does.
    fn squeeze_pages(&self, doc: &str) -> Result<()> {
        let mut files = vec![
            self.0.join(doc).join("changelog"),
            self.0.join(doc).join("third-party-licences.txt"),
        ];
        let man = self.0.join("usr/share/man");
        if man.exists() {
            for section in fs::read_dir(man)? {
                for page in fs::read_dir(section?.path())? {
                    files.push(page?.path());
                }
            }
        }
        // Without a time in them, so that the same content is the same bytes.
        execute_quietly(command("gzip").args(["--best", "--no-name"]).args(files))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_changelog_lead_into_the_book_and_never_nowhere() {
        let book = std::env::temp_dir().join(format!("changelog-{}", std::process::id()));
        fs::create_dir_all(&book).expect("a folder");
        fs::write(book.join("ec2.html"), "").expect("a page");
        let text = "a ([page](docs/ec2.md#errors)), [other](https://example.org)";
        let found = changelog(text, &book).expect("its pages are there");
        assert_eq!(
            found,
            format!("a ([page](/{BOOK}/ec2.html#errors)), [other](https://example.org)")
        );
        let error = changelog("[x](docs/gone.md)", &book).expect_err("it is not there");
        assert!(error.to_string().contains("docs/gone.md"), "{error}");
        fs::remove_dir_all(&book).expect("removed");
    }
}
