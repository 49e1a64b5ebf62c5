//! The document, as it is written.

use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub(super) struct Trajectory {
    pub(super) schema_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) session_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trajectory_id: Option<String>,
    pub(super) agent: Agent,
    pub(super) steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) final_metrics: Option<Totals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra: Option<Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subagent_trajectories: Vec<Self>,
}

#[derive(Serialize)]
pub(super) struct Agent {
    pub(super) name: String,
    pub(super) version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_name: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Step {
    step_id: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timestamp: Option<String>,
    pub(super) source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) model_name: Option<String>,
    pub(super) message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reasoning_content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) tool_calls: Vec<Call>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observation: Option<Observation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metrics: Option<Metrics>,
    pub(super) extra: Extra,
}

/// What we say of a step.
#[derive(Default, Serialize)]
pub(super) struct Extra {
    pub(super) tacho: About,
}

#[derive(Default, Serialize)]
pub(super) struct About {
    /// The records that the step is made of.
    pub(super) records: Vec<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) mutations: Vec<Value>,
}

#[derive(Serialize)]
pub(super) struct Call {
    pub(super) tool_call_id: String,
    pub(super) function_name: String,
    pub(super) arguments: Box<RawValue>,
    pub(super) extra: Value,
}

#[derive(Serialize)]
pub(super) struct Observation {
    pub(super) results: Vec<Brought>,
}

/// What a call brought.
#[derive(Serialize)]
pub(super) struct Brought {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) source_call_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) content: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subagent_trajectory_ref: Vec<Ref>,
    pub(super) extra: Value,
}

#[derive(Serialize)]
pub(super) struct Ref {
    pub(super) trajectory_id: String,
}

#[derive(Serialize)]
pub(super) struct Metrics {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cached_tokens: Option<u64>,
    /// The digits of the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cost_usd: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) extra: Option<Value>,
}

/// Sums over the steps of a trajectory.
#[derive(Serialize)]
pub(super) struct Totals {
    #[serde(skip_serializing_if = "Option::is_none")]
    total_prompt_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_completion_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_cached_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_cost_usd: Option<Box<RawValue>>,
    total_steps: usize,
}

impl Step {
    pub(super) fn new(step_id: usize, source: &'static str) -> Self {
        Self {
            step_id,
            timestamp: None,
            source,
            model_name: None,
            message: String::new(),
            reasoning_content: None,
            tool_calls: Vec::new(),
            observation: None,
            metrics: None,
            extra: Extra::default(),
        }
    }

    /// Its results, to add or change one.
    pub(super) fn results_mut(&mut self) -> &mut Vec<Brought> {
        let empty = || Observation {
            results: Vec::new(),
        };
        &mut self.observation.get_or_insert_with(empty).results
    }
}

impl Totals {
    /// Sums up, and says whether there are costs that cannot be summed without rounding.
    pub(super) fn of(steps: &[Step]) -> (Self, bool) {
        let metrics = || steps.iter().filter_map(|step| step.metrics.as_ref());
        let sum =
            |of: fn(&Metrics) -> Option<u64>| metrics().filter_map(of).reduce(u64::saturating_add);
        let costs: Vec<_> = metrics()
            .filter_map(|m| m.cost_usd.as_ref())
            .map(|cost| cost.get())
            .collect();
        let total_cost_usd = match costs.is_empty() {
            true => None,
            false => total(&costs).as_deref().and_then(number),
        };
        let lost = total_cost_usd.is_none() && !costs.is_empty();
        let totals = Self {
            total_prompt_tokens: sum(|m| m.prompt_tokens),
            total_completion_tokens: sum(|m| m.completion_tokens),
            total_cached_tokens: sum(|m| m.cached_tokens),
            total_cost_usd,
            total_steps: steps.len(),
        };
        (totals, lost)
    }
}

/// A text as a JSON number with the same digits.
pub(super) fn number(text: &str) -> Option<Box<RawValue>> {
    text.parse::<f64>().ok().filter(|value| value.is_finite())?;
    let raw: Box<RawValue> = serde_json::from_str(text).ok()?;
    let begins = raw.get().chars().next()?;
    (begins == '-' || begins.is_ascii_digit()).then_some(raw)
}

/// Digits after the point that a sum can have.
const SCALE: usize = 18;

/// The exact sum of plain decimals.
fn total(numbers: &[&str]) -> Option<String> {
    let mut sum = 0_i128;
    let mut digits = 0;
    for number in numbers {
        let (sign, plain) = match number.strip_prefix('-') {
            Some(plain) => (-1, plain),
            None => (1, *number),
        };
        let (whole, part) = plain.split_once('.').unwrap_or((plain, ""));
        if part.len() > SCALE || !plain.chars().all(|c| c == '.' || c.is_ascii_digit()) {
            return None;
        }
        digits = digits.max(part.len());
        let scaled: i128 = format!("{whole}{part:0<SCALE$}").parse().ok()?;
        sum = sum.checked_add(sign * scaled)?;
    }
    let sign = if sum < 0 { "-" } else { "" };
    let text = format!("{:0>width$}", sum.unsigned_abs(), width = SCALE + 1);
    let (whole, part) = text.split_at_checked(text.len() - SCALE)?;
    let part = part.get(..digits)?;
    Some(match part.is_empty() {
        true => format!("{sign}{whole}"),
        false => format!("{sign}{whole}.{part}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_without_rounding() {
        let sum = |numbers: &[&str]| total(numbers);
        assert_eq!(sum(&["0.1", "0.20", "3"]).as_deref(), Some("3.30"));
        assert_eq!(sum(&["1", "2"]).as_deref(), Some("3"));
        assert_eq!(sum(&["-0.5", "0.25"]).as_deref(), Some("-0.25"));
        assert_eq!(sum(&["1e3"]), None);
        assert_eq!(sum(&["0.0000000000000000001"]), None);
    }

    #[test]
    fn takes_numbers_as_they_are_written() {
        let text = |text: &str| number(text).map(|raw| raw.get().to_owned());
        assert_eq!(text("0.00012300").as_deref(), Some("0.00012300"));
        for bad in ["NaN", "inf", ".5", "+1", "1e999", "\"1\"", "0x1"] {
            assert_eq!(text(bad), None, "{bad}");
        }
    }
}
