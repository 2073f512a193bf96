//! A report as one HTML page that needs nothing else: no script, no font, no picture, nothing from any server.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Report, chart};
use crate::experiments::{Exhibit, Experiment, Finding, Unit};
use crate::figure::Figure;
use crate::statistics::Verdict;

/// The look of the command's pages, and what the lab's has more.
const STYLES: [&str; 2] = [
    include_str!("../../../src/cli/bench/page.css"),
    include_str!("page.css"),
];

const fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Supported => "supported",
        Verdict::NotSupported => "not-supported",
        Verdict::Contradicted => "contradicted",
    }
}

/// A number as its unit is read.
fn amount(unit: Unit, value: f64) -> String {
    if value.abs() >= f64::MAX.sqrt() || !value.is_finite() {
        return if value > 0.0 {
            "\u{221e}".into()
        } else {
            "-\u{221e}".into()
        };
    }
    match unit {
        Unit::Ratio => format!("{value:.2}x"),
        Unit::Share => format!("{:.1} points", 100.0 * value),
        Unit::Decades => format!("{value:.2} decades"),
        Unit::Loss => format!("{value:.3}"),
    }
}

fn interval(finding: &Finding) -> String {
    let [low, high] = finding.interval.map(|end| amount(finding.unit, end));
    let unit = |text: &str| text.split_once(' ').map(|(_, unit)| unit.to_owned());
    match unit(&low) {
        // The unit once.
        Some(name) if unit(&high).as_deref() == Some(&name) => {
            format!("{} to {high}", low.split(' ').next().unwrap_or_default())
        }
        _ => format!("{low} to {high}"),
    }
}

fn verdict(verdict: Verdict) -> Markup {
    html! { span.{ "verdict " (class(verdict)) } { (verdict.name()) } }
}

fn charts(figures: &[Figure]) -> Markup {
    html! { div.charts { @for figure in figures { (chart::figure(figure)) } } }
}

fn findings(all: &[&Finding]) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { th { "finding" } th.text { "verdict" } th { "effect" } th { "95% interval" } th { "least that matters" } } }
                tbody {
                    @for finding in all {
                        tr {
                            td.what { (finding.what) }
                            td.text { (verdict(finding.verdict)) }
                            td { (amount(finding.unit, finding.effect)) }
                            td { (interval(finding)) }
                            td { (amount(finding.unit, finding.least)) }
                        }
                    }
                }
            }
        }
    }
}

/// How many findings have which verdict.
fn tally(all: &[&Finding]) -> String {
    let count = |verdict| all.iter().filter(|one| one.verdict == verdict).count();
    let verdicts = [
        Verdict::Supported,
        Verdict::NotSupported,
        Verdict::Contradicted,
    ];
    let counts = verdicts.map(|verdict| format!("{} {}", count(verdict), verdict.name()));
    format!("Of all {} findings: {}.", all.len(), counts.join(", "))
}

fn experiment(experiment: &Experiment) -> Markup {
    let headline = &experiment.headline;
    let all: Vec<&Finding> = std::iter::once(headline)
        .chain(&experiment.findings)
        .collect();
    html! {
        section id=(experiment.name) {
            h2 { (experiment.title) }
            p.claim { (experiment.claim) }
            p.{ "result " (class(headline.verdict)) } {
                (verdict(headline.verdict)) ": " (headline.what) ": " strong { (amount(headline.unit, headline.effect)) }
                ", 95% interval " (interval(headline)) ", " (experiment.seeds) " seeds."
                @if all.len() > 1 { " " (tally(&all)) }
            }
            @for paragraph in &experiment.method { p { (paragraph) } }
            (charts(&experiment.figures))
            h3 { "All findings" }
            (findings(&all))
            h3 { "To keep in mind" }
            ul { @for text in &experiment.qualifications { li { (text) } } }
        }
    }
}

fn exhibit(exhibit: &Exhibit) -> Markup {
    html! {
        section id=(exhibit.name) {
            h2 { (exhibit.title) }
            @for paragraph in &exhibit.text { p { (paragraph) } }
            (charts(&exhibit.figures))
        }
    }
}

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        let environment = &self.environment;
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content={ "batchnorm-lab " (environment.version) };
                    title { "What is batch normalization, and why do we use it?" }
                    @for style in STYLES { style { (PreEscaped(style)) } }
                }
                body {
                    header {
                        h1 { "What is batch normalization, and why do we use it?" }
                        p {
                            "Batch normalization gives each unit's inputs mean 0 and variance 1 over a batch, and then a scale gamma \
                             and a shift beta that are learned (Ioffe and Szegedy, 2015). Common claims about it, each tried by \
                             training small networks with it and without, by wgpu-batchnorm on the adapter named below."
                        }
                        @if self.settings.quick {
                            p.wrong { "A quick run: few seeds and steps, to see that all works. Its verdicts mean little." }
                        }
                        @if !self.unfinished.is_empty() {
                            p.wrong { "Written before the run was over. Still to come: " (self.unfinished.join(", ")) "." }
                        }
                        dl {
                            dt { "Adapter" } dd { (environment.adapter.name) ", " (environment.adapter.backend) }
                            dt { "Driver" } dd { (environment.adapter.driver) }
                            dt { "Versions" } dd { "batchnorm-lab and wgpu-batchnorm " (environment.version) ", wgpu " (environment.wgpu) }
                            dt { "Batch norm by" } dd { (environment.batch_norm) }
                            dt { "Seeds" } dd { (self.settings.seeds) " from " (self.settings.seed) }
                            dt { "Date" } dd { (environment.date) }
                            dt { "Command" } dd { code { (environment.command) } }
                        }
                    }
                    section {
                        h2 { "How to read the results" }
                        p {
                            "Each experiment compares the same networks with batch norm and without: the same first weights, the same \
                             batches and the same splits for each seed, each at its own best learning rate from one sweep. An effect \
                             is the mean over seeds of the difference within each seed, or the geometric mean of the ratio; its 95% \
                             interval is that of Student\u{2019}s t distribution over seeds."
                        }
                        p { strong { "The rule. " } "A claim is " (verdict(Verdict::Supported)) " where the whole interval lies beyond the \
                             least effect that would matter, which is given beside it; " (verdict(Verdict::Contradicted)) " where the \
                             whole interval lies on the other side of no effect; else it is " (verdict(Verdict::NotSupported)) ". The \
                             verdict of an experiment is that of its first finding. The others are not corrected for their number: of \
                             twenty without effect one is beyond its interval by chance." }
                        p { "In the plots lines are means over seeds, bands their 95% intervals." }
                        p { "Small tables and small networks: what is found here holds for them." }
                    }
                    @if !self.experiments.is_empty() {
                        section {
                            h2 { "In short" }
                            ul.short { @for one in &self.experiments { li {
                                (verdict(one.headline.verdict)) " "
                                a href={ "#" (one.name) } { (one.title) } ": "
                                strong { (amount(one.headline.unit, one.headline.effect)) }
                                " (" (interval(&one.headline)) "), " (one.headline.what) "."
                            } } }
                        }
                    }
                    @for one in &self.experiments { (experiment(one)) }
                    @for one in &self.exhibits { (exhibit(one)) }
                    section {
                        h2 { "Data and sources" }
                        p {
                            "Optical Recognition of Handwritten Digits (E. Alpaydin and C. Kaynak, 1998, doi:10.24432/C50P49) and Wine (S. \
                             Aeberhard and M. Forina, 1991, doi:10.24432/C5PC7J), UCI Machine Learning Repository, CC BY 4.0. Of each \
                             class three fifths are for training, one for validation, one for test, the same samples always. Pixels are \
                             divided by 16."
                        }
                        ul {
                            li { "S. Ioffe and C. Szegedy: Batch Normalization. ICML 2015, arXiv:1502.03167." }
                            li { "S. Santurkar, D. Tsipras, A. Ilyas and A. Madry: How Does Batch Normalization Help Optimization? NeurIPS 2018, arXiv:1805.11604." }
                            li { "G. Yang, J. Pennington, V. Rao, J. Sohl-Dickstein and S. Schoenholz: A Mean Field Theory of Batch Normalization. ICLR 2019, arXiv:1902.08129." }
                            li { "K. He, X. Zhang, S. Ren and J. Sun: Delving Deep into Rectifiers. ICCV 2015, arXiv:1502.01852." }
                        }
                    }
                }
            }
        }
        .into_string()
    }
}
