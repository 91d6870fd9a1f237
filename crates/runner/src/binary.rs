//! Which program is deployed as the runner, and its hash.

use std::path::{Path, PathBuf};

use md5::{Digest as _, Md5};

/// The MD5 of a binary, which names its deployed file (facts §2.2), taken piece by piece.
#[derive(Clone, Default, Debug)]
pub struct BinaryHash(Md5);

impl BinaryHash {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The hash of all pieces, in lowercase hexadecimal digits.
    pub fn finish(self) -> String {
        hex::encode(self.0.finalize())
    }
}

/// Programs that contain the runner; the name of the deployed file selects what they do (facts §2.2).
const PROGRAMS: [&str; 2] = ["crunch-run", "arvados-server"];

/// Where Arvados' packages and installer put them, for daemons whose PATH is short.
const DIRECTORIES: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/var/lib/arvados/bin"];

/// `DeployRunnerBinary` asks for a program that is not there.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum RunnerMissing {
    /// `/proc/self/exe` and no Arvados on this host.
    #[error(
        "Containers.CloudVMs.DeployRunnerBinary is {setting}, which asks for the dispatcher's own program; that is \
         not crunch-run here, and no crunch-run or arvados-server was found in {}: install the package crunch-run (or \
         arvados-server), or set the key to the path of a crunch-run, or to \"\" if the instances' image holds the \
         program that Containers.CrunchRunCommand names",
        searched.join(", ")
    )]
    NotInstalled {
        /// The key's value.
        setting: String,
        /// The directories that were searched.
        searched: Vec<String>,
    },
    /// A path at which there is no program.
    #[error(
        "Containers.CloudVMs.DeployRunnerBinary is {setting}, which is not a readable file: install crunch-run there, \
         or set the key to where it is"
    )]
    NoSuchFile {
        /// The key's value.
        setting: String,
    },
}

/// The file to deploy for this value of `DeployRunnerBinary`; `None` for "", which deploys nothing.
///
/// The default, `/proc/self/exe`, means an installed crunch-run or arvados-server here: first by the directories of
/// `search_path` (as in `$PATH`), then where Arvados' packages put them; crunch-run anywhere before arvados-server.
/// `is_file` tells whether there is a readable file.
pub fn choose_runner_binary(
    setting: &str,
    search_path: &str,
    is_file: impl Fn(&Path) -> bool,
) -> Result<Option<PathBuf>, RunnerMissing> {
    match setting {
        "" => Ok(None),
        "/proc/self/exe" => {
            let directories = search_path
                .split(':')
                .filter(|directory| directory.starts_with('/'))
                .chain(DIRECTORIES);
            let mut searched: Vec<String> = Vec::new();
            for directory in directories {
                if !searched.iter().any(|known| known == directory) {
                    searched.push(directory.to_owned());
                }
            }
            let candidates = PROGRAMS
                .iter()
                .flat_map(|program| searched.iter().map(move |dir| Path::new(dir).join(program)));
            match candidates.into_iter().find(|path| is_file(path)) {
                Some(path) => Ok(Some(path)),
                None => Err(RunnerMissing::NotInstalled {
                    setting: setting.to_owned(),
                    searched,
                }),
            }
        }
        _ if is_file(Path::new(setting)) => Ok(Some(setting.into())),
        _ => Err(RunnerMissing::NoSuchFile {
            setting: setting.to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use expect_test::{Expect, expect};

    use super::*;

    #[track_caller]
    fn check(setting: &str, search_path: &str, files: &[&str], expected: Expect) {
        let is_file = |path: &Path| files.iter().any(|file| Path::new(file) == path);
        let seen = match choose_runner_binary(setting, search_path, is_file) {
            Ok(Some(path)) => path.display().to_string(),
            Ok(None) => "nothing".to_owned(),
            Err(error) => format!("error: {error}"),
        };
        expected.assert_eq(&seen);
    }

    #[test]
    fn an_empty_setting_deploys_nothing() {
        check("", "/bin", &["/bin/crunch-run"], expect!["nothing"]);
    }

    #[test]
    fn the_dispatchers_own_program_means_the_installed_runner() {
        let files = ["/usr/bin/crunch-run", "/opt/bin/arvados-server"];
        check(
            "/proc/self/exe",
            "/opt/bin:/usr/bin",
            &files,
            expect!["/usr/bin/crunch-run"],
        );
        check("/proc/self/exe", "", &files, expect!["/usr/bin/crunch-run"]);
        check(
            "/proc/self/exe",
            "/opt/bin::.",
            &files[1..],
            expect!["/opt/bin/arvados-server"],
        );
    }

    #[test]
    fn without_an_installed_runner_the_error_names_the_remedy() {
        check(
            "/proc/self/exe",
            "/usr/bin:/bin",
            &["/proc/self/exe"],
            expect![[
                r#"error: Containers.CloudVMs.DeployRunnerBinary is /proc/self/exe, which asks for the dispatcher's own program; that is not crunch-run here, and no crunch-run or arvados-server was found in /usr/bin, /bin, /usr/local/bin, /var/lib/arvados/bin: install the package crunch-run (or arvados-server), or set the key to the path of a crunch-run, or to "" if the instances' image holds the program that Containers.CrunchRunCommand names"#
            ]],
        );
    }

    #[test]
    fn a_path_is_taken_as_it_is_and_must_exist() {
        check(
            "/opt/crunch-run",
            "",
            &["/opt/crunch-run"],
            expect!["/opt/crunch-run"],
        );
        check(
            "/opt/crunch-run",
            "/usr/bin",
            &["/usr/bin/crunch-run"],
            expect![
                "error: Containers.CloudVMs.DeployRunnerBinary is /opt/crunch-run, which is not a readable file: install crunch-run there, or set the key to where it is"
            ],
        );
    }

    #[test]
    fn the_hash_of_pieces_is_the_hash_of_the_whole() {
        let mut hash = BinaryHash::default();
        hash.update(b"message ");
        hash.update(b"digest");
        assert_eq!(hash.finish(), "f96b697d7cb7938d525a2f31aaf161d0");
    }
}
