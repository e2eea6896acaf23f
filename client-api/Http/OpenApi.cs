using System.Globalization;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Banking.ClientApi.Http;

/// <summary>What the framework cannot see in a handler that reads its request itself.</summary>
internal sealed record CallDescription(string[] Query, bool Key, Type? Body, Code[] Codes);

/// <summary>The OpenAPI document at /openapi/v1.json.</summary>
internal static class OpenApi
{
    private const string Bearer = "bearer";
    private const string Problem = "Problem";

    private static readonly Type[] Requests = [typeof(Accounts.OpeningBody), typeof(Transfers.OrderBody)];

    private static readonly Code[] Everywhere =
        [Code.Unauthenticated, Code.Forbidden, Code.NotAcceptable, Code.RateLimited, Code.InternalError, Code.HomeUnavailable, Code.Overloaded];

    public static RouteHandlerBuilder Describe(
        this RouteHandlerBuilder call, string summary, Code[] codes, string[]? query = null, bool key = false, Type? body = null) =>
        call.WithSummary(summary).WithMetadata(new CallDescription(query ?? [], key, body, codes));

    public static void AddBankOpenApi(this IServiceCollection services) => services.AddOpenApi("v1", openApi =>
    {
        openApi.AddDocumentTransformer((document, _, _) =>
        {
            document.Info = new OpenApiInfo { Title = "Bank", Version = "v1", Description = "Money moves once per Idempotency-Key; amounts are decimal strings." };
            document.Components ??= new OpenApiComponents();
            document.Components.SecuritySchemes ??= new Dictionary<string, IOpenApiSecurityScheme>();
            document.Components.SecuritySchemes[Bearer] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = Bearer, BearerFormat = "JWT" };
            document.Security = [new OpenApiSecurityRequirement { [new OpenApiSecuritySchemeReference(Bearer, document)] = [] }];
            return Task.CompletedTask;
        });
        openApi.AddSchemaTransformer((schema, context, _) =>
        {
            if (context.JsonTypeInfo.Type == typeof(AmountText) || context.JsonTypeInfo.Type == typeof(AmountText?))
            {
                schema.Type = JsonSchemaType.String;
                schema.Pattern = @"^(0|[1-9][0-9]{0,18})(\.[0-9]{1,4})?$";
            }

            // Requests are closed, answers grow: a client must not refuse a member that it does not know yet.
            schema.AdditionalPropertiesAllowed = schema.AdditionalProperties is not null || !Requests.Contains(context.JsonTypeInfo.Type);
            return Task.CompletedTask;
        });
        openApi.AddOperationTransformer(Complete);
    });

    private static async Task Complete(OpenApiOperation operation, OpenApiOperationTransformerContext context, CancellationToken cancellationToken)
    {
        if (context.Description.ActionDescriptor.EndpointMetadata.OfType<CallDescription>().SingleOrDefault() is not { } call)
        {
            return;
        }

        operation.Parameters ??= [];
        foreach (var name in call.Query)
        {
            operation.Parameters.Add(new OpenApiParameter { Name = name, In = ParameterLocation.Query, Schema = new OpenApiSchema { Type = JsonSchemaType.String } });
        }

        if (call.Key)
        {
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = IdempotencyKey.Header,
                In = ParameterLocation.Header,
                Required = !call.Query.Contains("dryRun"),
                Schema = new OpenApiSchema { Type = JsonSchemaType.String, MinLength = 1, MaxLength = Texts.KeyLengthMax },
            });
        }

        if (call.Body is not null)
        {
            var schema = await context.GetOrCreateSchemaAsync(call.Body, null, cancellationToken);
            operation.RequestBody = new OpenApiRequestBody { Required = true, Content = Content("application/json", schema) };
        }

        context.Document!.AddComponent<IOpenApiSchema>(Problem, await context.GetOrCreateSchemaAsync(typeof(ProblemBody), null, cancellationToken));
        var problem = new OpenApiSchemaReference(Problem, context.Document);
        operation.Responses ??= [];
        foreach (var codes in call.Codes.Concat(Everywhere).Order().GroupBy(Codes.StatusOf))
        {
            operation.Responses[codes.Key.ToString(CultureInfo.InvariantCulture)] = new OpenApiResponse
            {
                Description = string.Join(", ", codes.Select(Codes.NameOf)),
                Content = Content("application/problem+json", problem),
            };
        }
    }

    private static Dictionary<string, OpenApiMediaType> Content(string type, IOpenApiSchema schema) =>
        new() { [type] = new OpenApiMediaType { Schema = schema } };
}
