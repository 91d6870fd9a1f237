//! Man pages and shell completions, made from the definitions of the command lines themselves.

use std::{fs, path::Path};

use anyhow::{Context, Result};
use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate_to};

use super::Version;

// The definitions need nothing but clap, so they are read here as well, and no program carries what makes pages.
#[path = "../../../bins/arvados-dispatch-ctl/src/cli.rs"]
mod ctl;
#[path = "../../../bins/arvados-dispatch-cloud/src/cli.rs"]
#[expect(dead_code, reason = "only the definition is wanted here")]
mod daemon;

/// The definitions of the programs that have pages, and the sections of their man pages.
pub(crate) fn commands() -> [(Command, &'static str); 2] {
    [(daemon::Cli::command(), "8"), (ctl::Cli::command(), "1")]
}

/// Writes the pages of each program into `folder/PROGRAM/`, laid out as below `/usr/share`.
pub(super) fn write(folder: &Path, version: &Version) -> Result<()> {
    for (command, section) in commands() {
        let name = command.get_name().to_owned();
        // The definition wants a text that lives as long as the program, which ends soon.
        let command = command.version(&*version.text().leak());
        let folder = folder.join(&name);
        let man = folder.join(format!("man/man{section}"));
        fs::create_dir_all(&man)?;
        man_pages(&command, section, &man)?;
        for (shell, place) in [
            (Shell::Bash, "bash-completion/completions"),
            (Shell::Zsh, "zsh/vendor-completions"),
            (Shell::Fish, "fish/vendor_completions.d"),
        ] {
            let place = folder.join(place);
            fs::create_dir_all(&place)?;
            let made = generate_to(shell, &mut command.clone(), &name, &place)
                .with_context(|| format!("write the completions of {name} for {shell}"))?;
            // Debian's bash looks for the command's own name.
            if shell == Shell::Bash {
                fs::rename(&made, place.join(&name))?;
            }
        }
    }
    Ok(())
}

/// A page for the command and one for each of its subcommands.
fn man_pages(command: &Command, section: &str, folder: &Path) -> Result<()> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        open.extend(command.get_subcommands().cloned());
        let name = command
            .get_display_name()
            .unwrap_or(command.get_name())
            .to_owned();
        let mut page = vec![];
        clap_mangen::Man::new(command)
            .section(section)
            .title(&name)
            .render(&mut page)?;
        fs::write(folder.join(format!("{name}.{section}")), page)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_every_shell_completes_it() {
        let folder = std::env::temp_dir().join(format!("pages-{}", std::process::id()));
        let version = Version {
            number: "7.8.9".into(),
            commit: "abc".into(),
            moment: "20261123031049".into(),
            epoch_secs: 0,
        };
        write(&folder, &version).expect("written");
        let text = |path: &str| fs::read_to_string(folder.join(path)).unwrap_or_default();
        let page = text("arvados-dispatch-cloud/man/man8/arvados-dispatch-cloud.8");
        assert!(page.contains("7.8.9 (abc, 2026"), "{page}");
        let page = text("arvados-dispatch-cloud/man/man8/arvados-dispatch-cloud-cloudtest.8");
        assert!(page.contains("destroy"), "{page}");
        let page = text("arvados-dispatch-ctl/man/man1/arvados-dispatch-ctl-containers-show.1");
        assert!(page.contains("UUID"), "{page}");
        for place in [
            "bash-completion/completions/arvados-dispatch-ctl",
            "zsh/vendor-completions/_arvados-dispatch-ctl",
            "fish/vendor_completions.d/arvados-dispatch-ctl.fish",
        ] {
            let completions = text(&format!("arvados-dispatch-ctl/{place}"));
            assert!(completions.contains("drain"), "{place}");
        }
        fs::remove_dir_all(&folder).expect("removed");
    }
}
