//! `lockstep man` and `lockstep completions`: made from the command line's own description, so that they
//! say what it does.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{Cli, CliError, DONE, to_stdout};

/// `lockstep man`.
#[derive(Args, Debug)]
pub struct ManArgs {
    /// The folder for all pages, which is made if it is not there [default: the program's own page, to
    /// standard output]
    #[arg(value_name = "DIR")]
    folder: Option<PathBuf>,
}

/// `lockstep completions`.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  lockstep completions bash | sudo tee /etc/bash_completion.d/lockstep
  lockstep completions fish > ~/.config/fish/completions/lockstep.fish")]
pub struct CompletionsArgs {
    /// The shell: bash, zsh, fish, elvish or powershell
    #[arg(hide_possible_values = true)]
    shell: Shell,
}

/// Carries `lockstep completions` out.
pub(super) fn completions(args: &CompletionsArgs) -> Result<u8, CliError> {
    let mut text = Vec::new();
    let mut command = Cli::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(args.shell, &mut command, name, &mut text);
    to_stdout(&String::from_utf8_lossy(&text))?;
    Ok(DONE)
}

/// Carries `lockstep man` out.
pub(super) fn man(args: &ManArgs) -> Result<u8, CliError> {
    let mut pages = Vec::new();
    let mut command = Cli::command().disable_help_subcommand(true);
    // What a command inherits, and its full name.
    command.build();
    add(&command, &mut pages).map_err(CliError::Output)?;
    let Some(folder) = &args.folder else {
        let own = pages.into_iter().next().map(|p| p.1).unwrap_or_default();
        to_stdout(&String::from_utf8_lossy(&own))?;
        return Ok(DONE);
    };
    let write = || {
        fs::create_dir_all(folder)?;
        pages.iter().try_for_each(|(name, text)| fs::write(folder.join(name), text))
    };
    write().map_err(|error| CliError::Page { file: folder.clone(), error })?;
    Ok(DONE)
}

/// Adds the name and the text of a command's page, and of its commands' pages.
fn add(command: &Command, pages: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or(command.get_name()).to_owned();
    let page = Man::new(command.clone())
        .title(name.to_uppercase())
        .source(concat!("lockstep ", env!("CARGO_PKG_VERSION")))
        .manual("Lockstep");
    let mut text = Vec::new();
    page.render_title(&mut text)?;
    page.render_name_section(&mut text)?;
    page.render_synopsis_section(&mut text)?;
    page.render_description_section(&mut text)?;
    page.render_options_section(&mut text)?;
    let subcommands: Vec<_> = command.get_subcommands().filter(|s| !s.is_hide_set()).collect();
    if !subcommands.is_empty() {
        page.render_subcommands_section(&mut text)?;
    }
    if let Some(notes) = command.get_after_help() {
        text.extend(as_written(&notes.to_string()).bytes());
    }
    pages.push((format!("{name}.1"), text));
    subcommands.into_iter().try_for_each(|sub| add(sub, pages))
}

/// What stands below the help: examples, which are indented, in their own lines; all else is filled.
fn as_written(notes: &str) -> String {
    let mut text = ".SH NOTES\n".to_owned();
    let mut example = false;
    for line in notes.lines() {
        if example != line.starts_with(' ') {
            example = !example;
            text += if example { ".nf\n" } else { ".fi\n" };
        }
        if line.is_empty() {
            text += ".PP\n";
            continue;
        }
        // Not to be taken for a request.
        let mark = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
        text += &format!("{mark}{}\n", line.replace('\\', "\\e").replace('-', "\\-"));
    }
    text + if example { ".fi\n" } else { "" }
}
