//! Enums of which one field of the line says which variant it is.

/// Defines an enum that is written with its word in the field `$tag`, and read by
/// [`Node`](super::node::Node).
macro_rules! tagged {
    (
        $(#[$meta:meta])*
        pub enum $Enum:ident by $tag:literal {
            $($(#[$doc:meta])* $Variant:ident($Body:ty) = $word:literal,)*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize)]
        #[serde(tag = $tag)]
        #[non_exhaustive]
        pub enum $Enum {
            $($(#[$doc])* #[serde(rename = $word)] $Variant($Body),)*
        }

        impl $Enum {
            /// The words of all that there are.
            pub const WORDS: &'static [&'static str] = &[$($word,)*];

            /// The word that says which it is.
            pub const fn word(&self) -> &'static str {
                match self {
                    $($Enum::$Variant(_) => $word,)*
                }
            }

            /// Reads the fields of the variant that `word` says; none if there is no such one.
            pub(super) fn of(
                word: &str,
                fields: super::node::Node,
            ) -> Option<Result<Self, super::node::FieldError>> {
                Some(match word {
                    $($word => serde::Deserialize::deserialize(fields).map($Enum::$Variant),)*
                    _ => return None,
                })
            }
        }
    };
}

pub(super) use tagged;
